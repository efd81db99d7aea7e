// What the page knows (page_data.h), and questions to it.

const data = JSON.parse(byId('data').textContent);
const {frames, nodes, sources, reports} = data;
const kindNames = data.kinds.map(([name]) => name);
const nounOf = kind => (kind === 'child' ? 'zombie' : data.kinds[kindNames.indexOf(kind)][1]);
const frameFlag = {own: 1, runtime: 2, inlined: 4};

const frame = number => {
  const [name, place, file, line, where, flags] = frames[number];
  return {number, name, place, file, line, where, isOwn: Boolean(flags & frameFlag.own),
    isRuntime: Boolean(flags & frameFlag.runtime), isInlined: Boolean(flags & frameFlag.inlined)};
};

/** Numbers of a stack's frames, innermost first. */
function stackOf(node) {
  const stack = [];
  for (; node; node = nodes[2 * node - 1]) stack.push(nodes[2 * node - 2]);
  return stack;
}

for (const [number, report] of reports.entries()) {
  report.number = number;
  report.places = report.places.map((row, index) => {
    const place = {report, index};
    data.columns.forEach((name, at) => { place[name] = row[at]; });
    place.kind = kindNames[place.kind];
    place.detail ||= {};
    place.key = `${place.kind}:${place.signature}:${place.acquired_by}:${place.detail.suppressed_by || ''}`;
    return place;
  });
}

/** The numbers that call sites have. */
const measures = [
  {name: 'live', title: 'Live', what: 'held now', of: place => place.live},
  {name: 'bytes', title: 'Bytes', what: 'bytes held now', of: place => place.bytes, isBytes: true},
  {name: 'lost', title: 'Lost', what: 'lost: nothing leads to them', of: place => place.lost},
  {name: 'lost_bytes', title: 'Lost bytes', what: 'lost bytes', of: place => place.lost_bytes, isBytes: true},
  {name: 'indirectly_lost_bytes', title: 'Indirectly lost bytes', what: 'indirectly lost bytes',
    of: place => place.indirectly_lost_bytes, isBytes: true},
  {name: 'possibly_lost_bytes', title: 'Possibly lost bytes', what: 'possibly lost bytes',
    of: place => place.possibly_lost_bytes, isBytes: true},
  {name: 'running', title: 'Running', what: 'still running', of: place => place.running},
  {name: 'growth', title: 'Growth a day', what: 'growth a day', of: place => place.growth},
  {name: 'oldest_ns', title: 'Oldest', what: 'age of the oldest', of: place => place.oldest_ns, write: writeDuration,
    isNoSum: true},
  {name: 'peak', title: 'Peak', what: 'most at once', of: place => place.peak, isNoSum: true},
  {name: 'total', title: 'Acquired', what: 'acquired since the start', of: place => place.total},
  {name: 'total_bytes', title: 'Acquired bytes', what: 'bytes acquired since the start', of: place => place.total_bytes,
    isBytes: true},
];
const measureOf = name => measures.find(one => one.name === name) || measures[0];

/** A number of a kind, in words: of the heap, growth is in bytes. */
function writeOf(measure, kind) {
  if (measure.write) return measure.write;
  return measure.isBytes || (measure.name === 'growth' && kind === 'heap') ? writeBytes : writeCount;
}

/** Frames and texts that match what is searched for. Small letters match capital ones, too. */
class Search {
  constructor(text) {
    this.text = text;
    this.error = '';
    if (!text) return;
    try {
      this.pattern = new RegExp(text, text === text.toLowerCase() ? 'im' : 'm');
    } catch (reason) {
      this.error = reason.message;
      return;
    }
    this.frames = frames.map(([name, place, file, , where]) => this.matches(`${name}\n${place}\n${file}\n${where}`));
    // A caller's node stands before those that it called.
    this.nodes = new Uint8Array(nodes.length / 2 + 1);
    for (let node = 1; node < this.nodes.length; ++node)
      this.nodes[node] = this.frames[nodes[2 * node - 2]] || this.nodes[nodes[2 * node - 1]];
  }
  get isOn() { return Boolean(this.pattern); }
  matches(text) { return this.pattern.test(text); }
  finds(place) {
    if (!this.isOn || this.nodes[place.node]) return true;
    if (this.matches(`${place.acquired_by}\n${place.signature}\n${place.detail.tests || ''}`)) return true;
    return (place.detail.objects || []).some(object => this.matches(object[1]));
  }
}

/** Of two reports, what has changed: a place as it is now, or as it was where it has gone. */
function compare(older, newer) {
  const before = new Map(older.places.filter(place => place.counts).map(place => [place.key, place]));
  const changes = [];
  for (const place of newer.places) {
    if (!place.counts) continue;
    const old = before.get(place.key);
    before.delete(place.key);
    changes.push({place, old, now: place});
  }
  for (const old of before.values()) changes.push({place: old, old, now: undefined});
  return changes;
}

/** Is a rule about a kind: "FAIL site.fd>0: …"? */
const isAbout = (rule, kind) => new RegExp(`\\b${kind}\\b`, 'u').test(rule.text.split(':')[0]);

/** The address of a call site's page: `site` is "kind:signature", `number` the report's. */
const fragmentOfSite = (site, number) => `#site=${site}${reports.length > 1 ? `&report=${number + 1}` : ''}`;
const fragmentOf = place => fragmentOfSite(`${place.kind}:${place.signature}`, place.report.number);
const suppressionOf = place => `${place.kind}:signature:${place.signature}`;

/** The function of the program's own that called the one that a place is named after; "" if there is none. */
function callerOf(place) {
  const stack = stackOf(place.node);
  const caller = stack.slice(stack.indexOf(place.telling) + 1).find(number => frame(number).isOwn);
  return caller === undefined || place.telling === null ? '' : frame(caller).name;
}

function nameOf(place) {
  return place.telling === null ? '(no stack)' : frame(place.telling).name;
}
