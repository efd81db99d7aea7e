// Numbers as they went on: of a series' looks, of several reports on one process, or as that recorded them itself.

/** `points`: [{t, value}] in nanoseconds; `limit`: a number worth a line, if it is near. */
function timeline(title, points, write, limit = 0) {
  const width = 560, height = 150, left = 8, right = 8, top = 14, bottom = 22;
  const end = points[points.length - 1], start = points[0];
  let most = Math.max(1, ...points.map(point => point.value));
  const hasLimit = limit > 0 && limit < 4 * most;
  if (hasLimit) most = Math.max(most, limit);
  const span = Math.max(1, end.t - start.t);
  const x = t => left + (width - left - right) * (t - start.t) / span;
  const y = value => height - bottom - (height - top - bottom) * value / most;
  // A number stays until it changes.
  let line = `M${x(start.t).toFixed(1)} ${y(start.value).toFixed(1)}`;
  for (const point of points.slice(1)) line += `H${x(point.t).toFixed(1)}V${y(point.value).toFixed(1)}`;
  const words = `${title}: ${write(start.value)} at first, ${write(end.value)} at last, ${write(Math.max(...points.map(one => one.value)))} at most, over ${writeDuration(end.t - start.t)}`;
  const drawing = shape('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': words, class: 'timeline'},
    shape('path', {d: `${line}V${y(0)}H${x(start.t)}Z`, class: 'area'}), shape('path', {d: line, class: 'line'}),
    shape('line', {x1: left, x2: width - right, y1: y(0), y2: y(0), class: 'axis'}),
    shape('text', {x: left, y: height - 6}, '0'),
    shape('text', {x: width - right, y: height - 6, 'text-anchor': 'end'}, `+${writeDuration(end.t - start.t)}`));
  if (hasLimit)
    drawing.append(shape('line', {x1: left, x2: width - right, y1: y(limit), y2: y(limit), class: 'limit'}),
      shape('text', {x: left, y: y(limit) - 3}, `limit ${write(limit)}`));
  if (points.length <= 40)
    for (const point of points)
      drawing.append(shape('circle', {cx: x(point.t), cy: y(point.value), r: 2.5},
        shape('title', {}, `${write(point.value)} after ${writeDuration(point.t - start.t)}`)));
  return element('figure', {}, element('figcaption', {}, element('b', {}, title), ` ${write(start.value)} → ${write(end.value)}`), drawing);
}

/** Reports on the process of a report, the oldest first. */
const reportsOfProcess = report => reports.filter(one => one.process === report.process && one.time_ns !== null)
  .sort((a, b) => a.time_ns - b.time_ns);

/** Of kinds: a drawing each that has changed. */
function kindTimelines(report) {
  const drawn = [];
  const add = (kind, points, limit) => {
    if (points.some(point => point.value !== points[0].value))
      drawn.push(timeline(kind, points, kind === 'heap' ? writeBytes : writeCount, limit));
  };
  if (report.looks) {
    for (const kind of kindNames)
      if (report.looks.kinds[kind])
        add(kind, report.looks.times_ns.map((t, at) => ({t, value: report.looks.kinds[kind][at]})),
          kind === 'fd' ? report.looks.limit : 0);
    return drawn;
  }
  const all = reportsOfProcess(report);
  if (all.length < 2) return drawn;
  for (const kind of kindNames) {
    const counter = kind === 'heap' ? 'bytes' : 'live';
    const points = all.map(one => ({t: one.time_ns, value: counterOf(one, kind, counter)}));
    if (points.every(point => point.value !== undefined)) add(kind, points, 0);
  }
  return drawn;
}

function siteTimeline(place) {
  const {report} = place;
  const write = place.kind === 'heap' ? writeBytes : writeCount;
  const values = report.looks?.places[place.index];
  if (values) return timeline('Held here', report.looks.times_ns.map((t, at) => ({t, value: values[at]})), write);
  const all = reportsOfProcess(report);
  const history = place.detail.history;
  if (all.length < 2 && history)
    return timeline('Held here', history.map(([ago, value]) => ({t: history[0][0] - ago, value})), writeCount);
  if (all.length < 2) return null;
  const of = one => one.places.find(other => other.key === place.key);
  const number = other => (!other ? 0 : place.kind === 'heap' ? other.bytes : other.live + other.running);
  return timeline('Held here', all.map(one => ({t: one.time_ns, value: number(of(one))})), write);
}

function counterOf(report, kind, counter) {
  const totals = report.totals.find(one => one.name === kind);
  return totals?.counters.find(([name]) => name === counter)?.[1];
}
