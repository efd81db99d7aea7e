// What is shown: held in `state`, and in the page's address, so that a link shows the same to somebody else.

const isComparison = data.view === 'diff';
const state = {
  report: isComparison ? 1 : 0,
  against: isComparison ? 0 : -1,  // -1: not compared
  kind: '', by: '', view: 'table', sort: '', ascending: false, q: '', all: false, site: '',
};
let search = new Search('');
let listed = [];      // places, as the list shows them
let graph = null;
let explorer = null;  // elements that change while one looks around

const report = () => reports[state.report];
const older = () => (state.against >= 0 && state.against !== state.report ? reports[state.against] : null);

/** The kind with most news: a broken rule, else what is lost or held. */
function firstKind() {
  if (older()) {
    const changed = new Set(compare(older(), report()).filter(one => one.now?.live !== one.old?.live || one.now?.bytes !== one.old?.bytes)
      .map(one => one.place.kind));
    const first = kindNames.filter(kind => kind !== 'heap').find(kind => changed.has(kind)) || (changed.has('heap') && 'heap');
    if (first) return first;
  }
  const held = new Set(report().places.filter(place => place.counts && place.live).map(place => place.kind));
  const isHeld = kind => held.has(kind);
  const broken = kindNames.find(kind => isHeld(kind) && report().rules.some(rule => rule.state === 'broken' && isAbout(rule, kind)));
  if (broken) return broken;
  if (report().places.some(place => place.counts && place.lost && place.kind === 'heap')) return 'heap';
  const news = kindNames.filter(kind => kind !== 'heap' && kind !== 'library');
  return news.find(isHeld) || kindNames.find(isHeld) || report().places[0]?.kind || kindNames[0];
}

function firstMeasure(kind) {
  if (kind !== 'heap') return 'live';
  return report().places.some(place => place.kind === 'heap' && place.lost_bytes) && !older() ? 'lost_bytes' : 'bytes';
}

// ---- addresses ----

function readAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const number = (name, otherwise) => {
    const value = Number(fields.get(name));
    return fields.has(name) && Number.isInteger(value) && value >= 0 && value <= reports.length ? value - 1 : otherwise;
  };
  state.site = fields.get('site') || '';
  state.kind ||= firstKind();
  state.by ||= firstMeasure(state.kind);
  state.sort ||= state.by;
  if (state.site) {  // everything else stays for the way back
    state.report = Math.max(0, number('report', state.report));
    return;
  }
  state.report = Math.max(0, number('report', state.report));
  state.against = number('against', state.against);
  if (fields.has('kind')) state.kind = fields.get('kind');
  if (state.kind !== 'all' && !kindNames.includes(state.kind)) state.kind = firstKind();
  state.by = measureOf(fields.get('by') || state.by).name;
  state.view = ['table', 'flame', 'inverted'].includes(fields.get('view')) ? fields.get('view') : state.view;
  state.sort = fields.get('sort') || (fields.has('by') ? state.by : state.sort);
  state.q = fields.has('q') ? fields.get('q') : state.q;
  state.all = fields.has('all') ? fields.get('all') === '1' : state.all;
}

function writeAddress() {
  const fields = new URLSearchParams({kind: state.kind, by: state.by, view: state.view});
  if (state.q) fields.set('q', state.q);
  if (state.all) fields.set('all', '1');
  if (state.sort !== state.by) fields.set('sort', state.sort);
  if (reports.length > 1) {
    fields.set('report', state.report + 1);
    fields.set('against', state.against + 1);
  }
  history.replaceState(null, '', `#${fields}`);
}

function change(what) {
  if (state.site) return;
  Object.assign(state, what);
  writeAddress();
  showExplorer();
}

// ---- call sites ----

function placesShown() {
  return report().places.filter(place => (state.kind === 'all' || place.kind === state.kind) && (place.counts || state.all));
}

/** What a graph or a table is made of. */
function entriesShown() {
  const measure = measureOf(state.by);
  const of = place => (place ? measure.of(place) : 0);
  if (!older()) return placesShown().map(place => ({place, value: of(place), then: of(place)}));
  return compare(older(), report()).filter(({place}) => state.kind === 'all' || place.kind === state.kind)
    .map(one => ({...one, value: of(one.now), then: of(one.old)}));
}

function chooseKind(kind) {
  const by = firstMeasure(kind);
  change({kind, by, sort: by, ascending: false});
}

/** On a call site's page: the same one in that report. */
function chooseReport(number) {
  if (state.site) {
    location.hash = fragmentOfSite(state.site, number);
    return;
  }
  change({report: number, against: number === state.against ? -1 : state.against});
  explorer = null;
  show();
}

function choice(id, label, options, value, onchange) {
  return element('label.choice', {}, `${label} `, element('select', {id, onchange: event => onchange(event.target.value)},
    options.map(([name, title]) => element('option', {value: name, selected: name === value}, title))));
}

function toolbar() {
  const kinds = kindNames.filter(kind => reports.some(one => one.places.some(place => place.kind === kind)));
  const sums = measures.filter(one => (state.view === 'table' && !older()) || !one.isNoSum)
    .filter(one => one.name === state.by || placesShown().some(place => one.of(place) > 0));
  const views = [['table', 'Table'], ['flame', 'Flame graph'], ['inverted', 'Inverted']];
  return element('div.tools', {role: 'toolbar', 'aria-label': 'Call sites'},
    choice('kind', 'Kind', [...kinds.map(kind => [kind, kind]), ['all', 'all kinds']], state.kind, chooseKind),
    choice('by', 'By', sums.map(one => [one.name, one.title]), state.by, by => change({by, sort: by, ascending: false})),
    element('div.views', {role: 'group', 'aria-label': 'View'}, views.map(([name, title]) =>
      element('button', {type: 'button', id: `view-${name}`, 'aria-pressed': String(state.view === name), onclick: () => change({view: name})}, title))),
    reports.length > 1 ? choice('against', 'Compared with', [['-1', 'nothing'], ...reports.filter(one => one.number !== state.report)
      .map(one => [String(one.number), reportName(one)])], String(state.against), value => change({against: Number(value)})) : null,
    older() ? null : element('label.check', {}, element('input', {type: 'checkbox', id: 'all', checked: state.all, onchange: event => change({all: event.target.checked})}),
      ' also what does not count'));
}

function showExplorer() {
  if (!explorer) return;
  search = new Search(state.q);
  const error = search.error;
  explorer.tools.replaceChildren(toolbar());
  explorer.search.setAttribute('aria-invalid', String(Boolean(error)));
  explorer.error.textContent = error ? `not a regular expression: ${error}` : '';
  if (explorer.search.value !== state.q) explorer.search.value = state.q;
  for (const tile of document.querySelectorAll('.tile'))
    tile.setAttribute('aria-pressed', String(tile.querySelector('.kind').textContent === state.kind));
  graph?.watcher.disconnect();
  graph = null;
  const entries = entriesShown();
  if (state.view === 'table') showTable(entries);
  else showGraph(entries);
}

function showTable(entries) {
  const found = entries.filter(({place}) => search.finds(place));
  const made = older() ? changeTable(found, state) : siteTable(found.map(one => one.place), state, sort =>
    change({sort, ascending: state.sort === sort ? !state.ascending : sort === 'name' || sort === 'kind'}));
  listed = made.sorted;
  const count = older() ? `${writeCount(made.worse)} worse, ${writeCount(made.better)} better`
    : `${writeNumberOf(found.length, 'call site')}${search.isOn ? ` of ${writeCount(entries.length)}` : ''}`;
  explorer.count.textContent = count;
  explorer.view.replaceChildren(made.sorted.length ? made.table : element('p.nothing', {}, search.isOn ? 'Nothing matches.'
    : older() ? 'No differences.' : 'Nothing is held.'), made.more);
  const omitted = report().sites_omitted;
  if (omitted) explorer.view.append(element('p.faint', {}, `and ${writeNumberOf(omitted, 'more stack')} that the report leaves out`));
}

function showGraph(entries) {
  const measure = measureOf(state.by);
  const root = callTree(entries, state.view === 'inverted');
  listed = entries.map(one => one.place);
  explorer.count.textContent = '';
  if (!root.width) {
    explorer.view.replaceChildren(element('p.nothing', {}, `No ${measure.title.toLowerCase()} to show: choose another number or kind.`));
    return;
  }
  graph = new Graph(root, {
    write: writeOf(measure, state.kind), search, isChange: Boolean(older()),
    title: `${state.view === 'inverted' ? 'Inverted flame graph' : 'Flame graph'} of ${state.kind}, ${measure.what}`,
    onfound: part => { explorer.count.textContent = part === null ? '' : `${(100 * part).toFixed(1)} % matches`; },
    showSites: call => {
      const name = call.name.replace(/[\\^$.*+?()[\]{}|/-]/gu, character => (character === '-' ? '\\x2d' : `\\${character}`));
      change({view: 'table', q: name});
    },
  });
  const legend = older()
    ? [element('span.key.worse', {}, 'grew'), element('span.key.better', {}, 'shrank'), 'as wide as the larger of before and now']
    : [element('span.key.own', {}, 'your code'), element('span.key.library', {}, 'libraries'),
      state.view === 'inverted' ? 'what acquires at the top, its callers below' : 'callers at the top, what acquires at the bottom'];
  explorer.view.replaceChildren(graph.element, element('p.legend', {}, legend));
  graph.draw();
}

// ---- the page ----

const reportName = one => `${one.title}${reports.filter(other => other.title === one.title).length > 1 ? ` #${one.number + 1}` : ''}`;

function verdict(one) {
  const broken = one.rules.filter(rule => rule.state === 'broken').length;
  const unchecked = one.rules.filter(rule => rule.state === 'unchecked').length;
  if (broken) return element('span.verdict.broken', {}, `✗ ${writeNumberOf(broken, 'rule')} broken`);
  if (unchecked) return element('span.verdict.unchecked', {}, `? ${writeNumberOf(unchecked, 'rule')} not checked`);
  return one.rules.length ? element('span.verdict.pass', {}, '✓ passed') : null;
}

const themes = ['auto', 'light', 'dark'];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  graph?.draw();
}

function showHead() {
  const one = report();
  const theme = element('button', {type: 'button', id: 'theme', onclick: () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
    setTheme(next);
    theme.textContent = `Theme: ${next}`;
  }}, `Theme: ${document.documentElement.dataset.theme}`);
  byId('head').replaceChildren(
    element('div.title', {}, element('h1', {}, one.title), verdict(one), element('span.ending', {}, one.ending)),
    element('div.controls', {},
      reports.length > 1 ? choice('report', 'Report', reports.map(other => [String(other.number), reportName(other)]), String(state.report),
        value => chooseReport(Number(value))) : null,
      theme, element('button', {type: 'button', id: 'keys', title: 'Keys (?)', 'aria-keyshortcuts': '?', onclick: showHelp}, 'Keys')));
}

/** What two reports come to. */
function comparisonHead() {
  if (!older()) return null;
  const then = older(), now = report();
  const isSame = then.process === now.process && then.time_ns !== null && now.time_ns > then.time_ns;
  return element('p.comparison', {}, `Compared with ${reportName(then)}`,
    isSame ? `, ${writeDuration(now.time_ns - then.time_ns)} earlier in the same process` : '', '.');
}

/** Of a process that was not tracked there are no call sites, only what the kernel knows. */
const hasCallSites = one => reports.length > 1 || !one.sections.some(section => section.id === 'kernel');

function showReport() {
  const one = report();
  explorer = {
    tools: element('div'),
    search: element('input', {type: 'search', id: 'search', placeholder: 'Search: function, file, target (regular expression)',
      'aria-label': 'Search call sites by a regular expression', 'aria-keyshortcuts': '/', 'aria-describedby': 'search-error', value: state.q, autocomplete: 'off',
      spellcheck: false, oninput: event => change({q: event.target.value})}),
    count: element('span.count', {role: 'status', id: 'count'}),
    error: element('span.error', {id: 'search-error', role: 'alert'}),
    view: element('div.view', {id: 'view'}),
  };
  byId('main').replaceChildren(...[
    element('div.alerts', {}, one.alerts.map(text => element('p', {role: 'note'}, text))),
    hasCallSites(one) && tiles(one, state.kind, chooseKind), ruleList(one), growthSection(one),
    element('section.explorer', {'aria-labelledby': 'sites-title', hidden: !hasCallSites(one)},
      element('h2', {id: 'sites-title', tabIndex: -1}, isComparison || older() ? 'What has changed' : 'What is held, and which code acquired it'),
      comparisonHead(), explorer.tools, element('div.find', {}, explorer.search, explorer.count, explorer.error), explorer.view),
    ...sectionsOf(one), notesOf(one) || '', factsOf(one)].filter(Boolean));
  showExplorer();
}

function showSite() {
  const [kind, signature] = state.site.split(':');
  const all = report().places.filter(one => one.kind === kind && one.signature === signature);
  const place = all.find(one => one.counts) || all[0];
  if (!place) {
    byId('main').replaceChildren(element('p', {}, element('a', {href: '#'}, '← All call sites')),
      element('p', {}, `This report has no call site ${state.site}: it may be in another report.`));
    return;
  }
  const order = listed.includes(place) ? listed : sortedRows(placesShown(), {...state, sort: state.sort || 'live'});
  const at = order.indexOf(place);
  byId('main').replaceChildren(sitePage(place, {before: order[at - 1], after: at < 0 ? undefined : order[at + 1]}));
  byId('main').querySelector('h2').focus({preventScroll: true});
}

let scrolled = 0;
let shownSite = '';
function show() {
  readAddress();
  if (state.site && !shownSite) scrolled = scrollY;
  document.title = `unfreed: ${report().title}${state.site ? `, ${state.site}` : ''}`;
  showHead();
  if (state.site) {
    showSite();
    scrollTo(0, 0);
  } else {
    showReport();
    if (shownSite) {
      scrollTo(0, scrolled);
      [...document.querySelectorAll('#view a.name')].find(link => link.hash === shownSite)?.focus({preventScroll: true});
    }
  }
  shownSite = state.site ? location.hash : '';
}

// ---- keys, printing ----

const keys = [['/', 'search'], ['t', 'table'], ['g', 'flame graph'], ['i', 'inverted flame graph'],
  ['j, k', 'next and previous call site'], ['Enter', 'open the call site; in a graph, zoom in'],
  ['arrows', 'in a graph, walk along calls'], ['Escape', 'back; in a graph, zoom out'], ['?', 'this help']];

function showHelp() {
  byId('help').replaceChildren(element('h2', {id: 'help-title'}, 'Keys'), element('dl', {}, keys.map(([key, what]) =>
    [element('dt', {}, element('kbd', {}, key)), element('dd', {}, what)])),
    element('form', {method: 'dialog'}, element('button', {autofocus: true}, 'Close')));
  byId('help').showModal();
}

function step(direction) {
  const links = [...document.querySelectorAll(state.site ? 'nav.around span a' : '#view tbody a.name')];
  if (state.site) {
    links.find(link => link.getAttribute('aria-keyshortcuts') === (direction > 0 ? 'j' : 'k'))?.click();
    return;
  }
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + direction))]?.focus();
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
  const isTyping = event.target.matches('input[type=search], select, textarea');
  if (event.key === 'Escape') {
    if (isTyping) event.target.blur();
    else if (state.site) location.hash = '';
    return;
  }
  if (isTyping) return;
  const actions = {'/': () => { if (state.site) location.hash = ''; setTimeout(() => byId('search')?.focus()); },
    t: () => change({view: 'table'}), g: () => change({view: 'flame'}), i: () => change({view: 'inverted'}),
    j: () => step(1), k: () => step(-1), '?': showHelp};
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
});

let folded = [];
addEventListener('beforeprint', () => {
  for (const one of document.querySelectorAll('details.section')) one.fill();
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const one of folded) one.open = true;
});
addEventListener('afterprint', () => folded.forEach(one => { one.open = false; }));

byId('skip').addEventListener('click', event => {
  event.preventDefault();
  byId('sites-title')?.focus();
});
byId('foot').append(`Made by unfreed ${data.tool}.`);
document.documentElement.dataset.theme = 'auto';
addEventListener('hashchange', show);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => graph?.draw());
show();
