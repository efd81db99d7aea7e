// All about one call site: numbers, stack with source, what it holds, what keeps it alive.

/** A stack as a list; the source of the first of the program's own frames is open. */
function stackList(node, isTruncated, opensSource = true) {
  if (!node) return element('p.faint', {}, 'no stack');
  let isOpen = !opensSource;
  const list = element('ol.stack', {}, stackOf(node).map(number => {
    const one = frame(number);
    const source = sourceOf(one);
    const head = [element('span.function', {}, one.name), ' ',
      one.place && one.place !== one.name ? element('span.place', {}, one.place) : '',
      one.isInlined ? element('span.tag', {}, 'inlined') : ''];
    const item = element('li', {title: one.where, className: one.isOwn ? 'own' : one.isRuntime ? 'runtime' : ''});
    if (source) {
      item.append(element('details', {open: !isOpen && one.isOwn}, element('summary', {}, head), source));
      isOpen ||= one.isOwn;
    } else {
      item.append(element('div', {}, head));
    }
    return item;
  }));
  return isTruncated ? [list, element('p.faint', {}, 'outer frames are missing')] : list;
}

function stackText(node) {
  return stackOf(node).map(number => frame(number)).map(one => `${one.name}${one.place && one.place !== one.name ? ` (${one.place})` : ''}`).join('\n');
}

/** Lines around a frame's, where the page has them. */
function sourceOf(one) {
  const file = one.line ? sources[one.file] : undefined;
  const part = file?.parts.find(([first, lines]) => one.line >= first && one.line < first + lines.length);
  if (!part) return null;
  const around = 6;
  const [first, lines] = part;
  const rows = [];
  for (let line = Math.max(first, one.line - around); line <= Math.min(first + lines.length - 1, one.line + around); ++line)
    rows.push(element('span', {className: line === one.line ? 'at' : ''},
      element('span.line', {'aria-hidden': 'true'}, String(line)), `${lines[line - first]}\n`));
  return [element('pre.source', {tabIndex: 0, 'aria-label': `${one.file}, around line ${one.line}`}, element('code', {}, rows)),
    file.newer ? element('p.faint', {}, 'the file is newer than the program: lines may have moved') : ''];
}

/** What a site holds, once for each that looks the same. */
function objectList(place) {
  const objects = place.detail.objects;
  if (!objects) return null;
  const groups = new Map();
  for (const object of objects) {
    const what = object[1] || '(nothing known)';
    if (!groups.has(what)) groups.set(what, []);
    groups.get(what).push(object);
  }
  const sorted = [...groups].sort((a, b) => b[1].length - a[1].length);
  const list = element('ul.objects', {});
  const number = place.kind === 'fd' ? 'descriptor' : place.kind === 'thread' ? 'thread' : place.kind === 'child' ? 'process' : 'number';
  const row = ([name, , thread, age, bytes]) => element('tr', {},
    [name, thread === null ? '' : String(thread), age === null ? '' : writeDuration(age), bytes === null ? '' : writeBytes(bytes)]
      .map(text => element('td.number', {}, text)));
  const table = group => element('div.wide', {}, element('table', {},
    element('thead', {}, element('tr', {}, [number, 'thread', 'age', 'size'].map(title => element('th.number', {scope: 'col'}, title)))),
    element('tbody', {}, group.map(row))));
  const more = growingList(list, sorted, ([what, group], at) => element('li', {},
    element('details', {open: at === 0 && group.length <= 20},
      element('summary', {}, element('b', {}, `${writeCount(group.length)} ×`), ' ', element('code', {}, what)), table(group))), 50);
  const omitted = place.detail.objects_omitted;
  return part('What it holds', list, more,
    omitted ? element('p.faint', {}, `and ${writeCount(omitted)} more, between the oldest and the newest`) : '');
}

const part = (title, ...content) => element('section', {}, element('h3', {}, title), ...content);

function siteNumbers(place) {
  const shown = measures.filter(one => one.of(place) > 0);
  return element('dl.numbers', {}, shown.map(one => element('div', {className: one.name.startsWith('lost') ? 'bad' : ''},
    element('dt', {}, one.title), element('dd', {}, writeOf(one, place.kind)(one.of(place))))));
}

function keptBy(place) {
  if (!place.detail.kept) return null;
  return part('What keeps them alive', element('ul.kept', {}, place.detail.kept.map(([blocks, bytes, steps]) => element('li', {},
    element('span.faint', {}, `${blocks < place.live ? `${writeCount(blocks)} of them` : `All ${writeCount(blocks)}`}, ${writeBytes(bytes)}, kept by`),
    element('ol.steps', {}, steps.map(step => element('li', {}, step)))))));
}

function remarksOf(place) {
  const {detail} = place;
  const texts = [];
  if (detail.suppressed_by) texts.push(`suppressed by ${detail.suppressed_by}`);
  if (detail.exceeds) texts.push(`more than a suppression allows: ${detail.exceeds}`);
  if (detail.owner) texts.push(`held by ${detail.owner} for its own use`);
  if (detail.informational) texts.push('for information: rules do not count it');
  if (detail.closed_by_gc) texts.push(`${writeCount(detail.closed_by_gc)} closed by the garbage collector, not by the program`);
  if (detail.growing) texts.push(`of ${writeCount(place.total)} that ${place.acquired_by} started here: their number keeps growing`);
  if (detail.growth) texts.push(detail.growth);
  if (detail.rise) texts.push(detail.rise);
  if (detail.ages) texts.push(detail.ages);
  if (detail.tests) texts.push(detail.tests);
  if (detail.overflow) texts.push('stands for all call sites that the full table had no room for');
  if (detail.known_by) texts.push(`identified by ${detail.known_by}, as no source lines are known`);
  return texts;
}

/** `around`: the places before and after it in the list, as they are sorted. */
function sitePage(place, around) {
  const link = (to, label, key) => to
    ? element('a', {href: fragmentOf(to), 'aria-keyshortcuts': key}, label) : element('span.faint', {}, label);
  const count = place.live || !place.running ? writeNumberOf(place.live, nounOf(place.kind)) : `${writeNumberOf(place.running, place.kind)} still running,`;
  const {detail} = place;
  return element('article.site', {},
    element('nav.around', {'aria-label': 'Call sites'}, element('a.back', {href: '#'}, '← All call sites'),
      element('span', {}, link(around.before, 'Previous', 'k'), ' · ', link(around.after, 'Next', 'j'))),
    element('h2', {tabIndex: -1}, `${count}${place.bytes ? `, ${writeBytes(place.bytes)},` : ''} from `,
      element('code', {}, place.acquired_by || '?'), ' in ', element('code', {}, nameOf(place))),
    remarksOf(place).map(text => element('p.remark', {}, text)),
    (detail.hints || []).map(hint => element('p.hint', {}, element('b', {}, 'Hint: '), hint)),
    siteNumbers(place),
    element('p.actions', {},
      copyButton('Copy link', () => location.href.replace(/#.*$/u, '') + fragmentOf(place), 'Link'),
      copyButton('Copy suppression', () => suppressionOf(place), 'Suppression'),
      copyButton('Copy stack', () => stackText(place.node), 'Stack'),
      element('code.signature', {title: 'The same in every run, and in every build that leaves its functions unchanged'}, suppressionOf(place))),
    part('Stack', stackList(place.node, detail.truncated)),
    keptBy(place), siteTimelinePart(place), objectList(place),
    detail.stacks ? part('Other stacks of this call site', detail.stacks.map(([node, live]) =>
      element('details', {}, element('summary', {}, `${writeCount(live)} live`), stackList(node, false, false)))) : null);
}

function siteTimelinePart(place) {
  const drawing = siteTimeline(place);
  return drawing ? part('Over time', drawing) : null;
}
