// The table of call sites: a row each, sorted by any column.

const tableColumns = ['live', 'lost', 'running', 'bytes', 'lost_bytes', 'growth', 'oldest_ns', 'total'];

// On a narrow page rows are blocks, and their numbers have titles. What they are is said by roles, which a browser
// forgets where it shows a row as anything else.
const row = (classes, ...cells) => element('tr', {role: 'row', className: classes}, ...cells);
const cell = (classes, title, ...content) => element('td', {role: 'cell', className: classes, 'data-title': title}, ...content);
const columnHead = (classes, properties, ...content) =>
  element('th', {role: 'columnheader', scope: 'col', className: classes, ...properties}, ...content);

function tableOf(caption, classes, head, body) {
  return element('table', {role: 'table', className: classes}, element('caption.unseen', {}, caption),
    element('thead', {role: 'rowgroup'}, row('', head)), body);
}

function siteLink(place) {
  const shown = place.telling === null ? null : frame(place.telling);
  return [
    element('a.name', {href: fragmentOf(place)}, nameOf(place)),
    element('span.place', {}, shown && shown.place !== shown.name ? shown.place : ''),
    element('span.caller', {}, callerOf(place) ? `called by ${callerOf(place)}` : ''),
    element('span.from', {}, place.acquired_by ? `from ${place.acquired_by}` : ''),
    place.detail.hints ? element('span.tag', {title: place.detail.hints.join('\n')}, 'hint') : null,
    place.detail.suppressed_by ? element('span.tag', {title: place.detail.suppressed_by}, 'suppressed')
      : place.counts ? null : element('span.tag', {}, 'does not count'),
  ];
}

/** `rows`: places. `state`: sort, ascending, by. `sortBy(name)`: somebody chose a column. */
function siteTable(rows, state, sortBy) {
  const columns = tableColumns.map(measureOf).filter(one => rows.some(place => one.of(place) > 0));
  const kinds = new Set(rows.map(place => place.kind));
  const sorted = sortedRows(rows, state);
  const most = Math.max(1, ...columns.filter(one => one.name === state.by).map(one =>
    sorted.reduce((most, place) => Math.max(most, one.of(place)), 0)));
  const body = element('tbody', {role: 'rowgroup'});
  const table = tableOf('Call sites', 'sites', [columns.map(one => heading(one.name, one.title, one.what)),
    kinds.size > 1 ? heading('kind', 'Kind', 'the kind of resource') : null,
    heading('name', 'Call site', 'the function that it lies in')], body);
  function heading(name, title, what) {
    const isSorted = state.sort === name;
    return columnHead(name === 'name' || name === 'kind' ? name : `number ${name}`, {'aria-sort': isSorted ? (state.ascending ? 'ascending' : 'descending') : 'none'},
      element('button', {type: 'button', title: what, onclick: () => sortBy(name)}, title,
        element('span.arrow', {'aria-hidden': 'true'}, isSorted ? (state.ascending ? '▲' : '▼') : '')));
  }
  const more = growingList(body, sorted, place => row(place.counts ? '' : 'quiet', columns.map(one => {
    const value = one.of(place);
    const isBad = value > 0 && (one.name.startsWith('lost') || one.name === 'growth');
    const made = cell(`number ${one.name}${isBad ? ' bad' : ''}`, one.title, value ? writeOf(one, place.kind)(value) : '');
    if (one.name === state.by && value) {
      const bar = element('span.bar', {'aria-hidden': 'true'});
      bar.style.width = `${Math.max(1, 100 * value / most)}%`;
      made.append(bar);
    }
    return made;
  }), kinds.size > 1 ? cell('kind', 'Kind', place.kind) : null, cell('name', null, siteLink(place))));
  return {table, more, sorted};
}

function sortedRows(rows, state) {
  const direction = state.ascending ? 1 : -1;
  const key = state.sort === 'name' ? nameOf : state.sort === 'kind' ? place => place.kind : measureOf(state.sort).of;
  const keys = new Map(rows.map(place => [place, key(place)]));
  return [...rows].sort((a, b) => {
    const one = keys.get(a), other = keys.get(b);
    return one === other ? a.index - b.index : direction * (one < other ? -1 : 1);
  });
}

/** The same for two reports: before, now, and what has changed, the largest change first. */
function changeTable(changes, state) {
  const measure = measureOf(state.by);
  const of = place => (place ? measure.of(place) : 0);
  const rows = changes.map(change => ({...change, then: of(change.old), value: of(change.now)}))
    .filter(row => row.then !== row.value)
    .sort((a, b) => Math.abs(b.value - b.then) - Math.abs(a.value - a.then));
  const body = element('tbody', {role: 'rowgroup'});
  const kinds = new Set(rows.map(one => one.place.kind));
  const more = growingList(body, rows, one => {
    const write = writeOf(measure, one.place.kind);
    const change = one.value - one.then;
    const word = !one.old ? 'new' : !one.now ? 'gone' : change > 0 ? 'grew' : 'shrank';
    return row(change > 0 ? 'worse' : 'better',
      cell('number', 'Before', one.old ? write(one.then) : '–'), cell('number', 'Now', one.now ? write(one.value) : '–'),
      cell('number change', 'Change', writeChange(change, write)), cell('word', null, word),
      kinds.size > 1 ? cell('kind', 'Kind', one.place.kind) : null, cell('name', null, siteLink(one.place)));
  });
  const headings = [['number', 'Before'], ['number', 'Now'], ['number change', 'Change'], ['word', ''], ['kind', 'Kind'],
    ['name', 'Call site']];
  const table = tableOf('Changes', 'sites changes', headings.filter(([name]) => name !== 'kind' || kinds.size > 1)
    .map(([name, title]) => columnHead(name, {}, title)), body);
  return {table, more, sorted: rows.map(one => one.place), worse: rows.filter(one => one.value > one.then).length,
    better: rows.filter(one => one.value < one.then).length};
}
