// The table of call sites: a row each, sorted by any column.

const tableColumns = ['live', 'lost', 'running', 'bytes', 'lost_bytes', 'growth', 'oldest_ns', 'total'];

function siteLink(place) {
  const shown = place.telling === null ? null : frame(place.telling);
  return [
    element('a.name', {href: fragmentOf(place)}, nameOf(place)),
    element('span.place', {}, shown && shown.place !== shown.name ? shown.place : ''),
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
  const body = element('tbody', {});
  const table = element('table.sites', {},
    element('caption.unseen', {}, 'Call sites'),
    element('thead', {}, element('tr', {},
      columns.map(one => heading(one.name, one.title, one.what)),
      kinds.size > 1 ? heading('kind', 'Kind', 'the kind of resource') : null,
      heading('name', 'Call site', 'the function that it lies in'))),
    body);
  function heading(name, title, what) {
    const isSorted = state.sort === name;
    return element('th', {scope: 'col', className: name === 'name' ? 'name' : name === 'kind' ? 'kind' : `number ${name}`,
      'aria-sort': isSorted ? (state.ascending ? 'ascending' : 'descending') : 'none'},
      element('button', {type: 'button', title: what, onclick: () => sortBy(name)}, title,
        element('span.arrow', {'aria-hidden': 'true'}, isSorted ? (state.ascending ? '▲' : '▼') : '')));
  }
  const more = growingList(body, sorted, place => {
    const row = element('tr', {className: place.counts ? '' : 'quiet'}, columns.map(one => {
      const value = one.of(place);
      const isBad = value > 0 && (one.name.startsWith('lost') || one.name === 'growth');
      const cell = element('td', {className: `number ${one.name}${isBad ? ' bad' : ''}`},
        value ? writeOf(one, place.kind)(value) : '');
      if (one.name === state.by && value) {
        const bar = element('span.bar', {'aria-hidden': 'true'});
        bar.style.width = `${Math.max(1, 100 * value / most)}%`;
        cell.append(bar);
      }
      return cell;
    }), kinds.size > 1 ? element('td.kind', {}, place.kind) : null, element('td.name', {}, siteLink(place)));
    return row;
  });
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
  const body = element('tbody', {});
  const kinds = new Set(rows.map(row => row.place.kind));
  const more = growingList(body, rows, row => {
    const write = writeOf(measure, row.place.kind);
    const change = row.value - row.then;
    const word = !row.old ? 'new' : !row.now ? 'gone' : change > 0 ? 'grew' : 'shrank';
    return element('tr', {className: change > 0 ? 'worse' : 'better'},
      element('td.number', {}, row.old ? write(row.then) : '–'), element('td.number', {}, row.now ? write(row.value) : '–'),
      element('td.number.change', {}, writeChange(change, write)), element('td.word', {}, word),
      kinds.size > 1 ? element('td.kind', {}, row.place.kind) : null, element('td.name', {}, siteLink(row.place)));
  });
  const headings = [['number', 'Before'], ['number', 'Now'], ['number change', 'Change'], ['word', ''], ['kind', 'Kind'],
    ['name', 'Call site']];
  const table = element('table.sites.changes', {}, element('caption.unseen', {}, 'Changes'), element('thead', {},
    element('tr', {}, headings.filter(([name]) => name !== 'kind' || kinds.size > 1).map(([name, title]) =>
      element('th', {scope: 'col', className: name}, title)))), body);
  return {table, more, sorted: rows.map(row => row.place), worse: rows.filter(row => row.value > row.then).length,
    better: rows.filter(row => row.value < row.then).length};
}
