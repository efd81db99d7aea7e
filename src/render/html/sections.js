// What a report says next to its call sites: verdicts, totals, threads, invalid closes …

/** A number of each kind that a person would want first. Few programs have any of some kinds: those are in the totals only. */
function tiles(report, chosen, choose) {
  const isShown = one => one.is_kind && (['fd', 'heap'].includes(one.name) || !one.counters.length ||
    one.counters.some(([name, value]) => value && ['total', 'unattributed', 'inherited'].includes(name)));
  return element('div.tiles', {role: 'group', 'aria-label': 'Kinds'}, report.totals.filter(isShown).map(one => {
    const counter = name => one.counters.find(([of]) => of === name)?.[1] || 0;
    const isBytes = one.name === 'heap';
    const lost = counter('lost');
    const live = counter(isBytes ? 'bytes' : 'live') - counter(isBytes ? 'suppressed_bytes' : 'suppressed');
    const isBroken = report.rules.some(rule => rule.state === 'broken' && isAbout(rule, one.name));
    return element('button.tile', {type: 'button', 'aria-pressed': String(chosen === one.name),
      className: `tile${isBroken || lost ? ' bad' : ''}`, onclick: () => choose(one.name)},
      element('span.kind', {}, one.name), element('span.value', {}, (isBytes ? writeBytes : writeCount)(Math.max(0, live))),
      element('span.words', {}, one.words), one.coverage === 'exact' ? '' : element('span.coverage', {}, one.coverage));
  }));
}

function ruleList(report) {
  if (!report.rules.length) return null;
  const line = rule => element('li', {className: rule.state}, element('span.mark', {'aria-hidden': 'true'},
    rule.state === 'broken' ? '✗' : rule.state === 'pass' ? '✓' : '?'), ' ', rule.text, ' ',
    rule.place === null ? '' : element('a', {href: fragmentOf(report.places[rule.place])}, `in ${nameOf(report.places[rule.place])}`));
  const bad = report.rules.filter(rule => rule.state !== 'pass'), good = report.rules.filter(rule => rule.state === 'pass');
  return element('section.rules', {'aria-labelledby': 'rules-title'}, element('h2', {id: 'rules-title'}, 'Rules'),
    element('ul', {}, bad.map(line)),
    good.length ? element('details', {open: !bad.length}, element('summary', {}, `${writeNumberOf(good.length, 'rule')} passed`),
      element('ul', {}, good.map(line))) : null);
}

function growthSection(report) {
  const drawn = kindTimelines(report);
  if (!report.watch && !drawn.length) return null;
  return element('section.growth', {'aria-labelledby': 'growth-title'}, element('h2', {id: 'growth-title'}, 'Growth'),
    report.watch ? [element('p.faint', {}, `watched: ${report.watch.words}`),
      element('div.wide', {}, element('table', {}, element('thead', {}, element('tr', {},
        ['Kind', 'At first', 'At last', 'Growth', 'Limit'].map(title => element('th', {scope: 'col'}, title)))),
        element('tbody', {}, report.watch.kinds.map(one => {
          const write = one.kind === 'heap' ? writeBytes : writeCount;
          return element('tr', {}, element('th', {scope: 'row'}, one.kind), element('td.number', {}, write(one.first)),
            element('td.number', {}, write(one.last)), element('td', {className: one.grows ? 'bad' : ''}, one.words),
            element('td', {}, one.limit));
        }))))] : null,
    drawn.length ? element('div.timelines', {}, drawn) : null);
}

/** Totals in full. */
function totalsSection(report) {
  return foldedSection('totals', 'Totals and coverage', report.totals.length, () => element('div.wide', {},
    element('table.totals', {}, element('tbody', {}, report.totals.map(one => element('tr', {}, element('th', {scope: 'row'}, one.name),
      element('td', {}, one.coverage), element('td', {}, one.counters.filter(([, value]) => value).map(([name, value]) =>
        element('span.counter', {}, `${name.replaceAll('_', ' ')} `, element('b', {}, name.includes('bytes') ? writeBytes(value) : writeCount(value)))))))))));
}

function foldedSection(id, title, count, make) {
  const body = element('div.body', {});
  const details = element('details.section', {id: `section-${id}`, ontoggle: () => {
    if (details.open && !body.firstChild) body.append(make());
  }}, element('summary', {}, element('h2', {}, title), ' ', element('span.count', {}, writeCount(count))), body);
  details.fill = () => { if (!body.firstChild) body.append(make()); };
  return details;
}

function itemOf(item, isOpen) {
  const head = [element('b', {}, item.text), ' ', item.faint ? element('span.faint', {}, item.faint) : ''];
  if (!item.stacks && !item.lines) return element('li', {}, head);
  return element('li', {}, element('details', {open: isOpen}, element('summary', {}, head),
    (item.lines || []).map(line => element('p', {}, line)),
    (item.stacks || []).map(([title, node, isTruncated]) => [element('h3', {}, title), stackList(node, isTruncated, false)])));
}

const openFirst = new Set(['kernel', 'hints', 'failures', 'peak', 'misuse', 'exec']);

function sectionsOf(report) {
  const made = report.sections.map(one => {
    const section = foldedSection(one.id, one.title, one.items.length, () => {
      const list = element('ul.items', {});
      return element('div', {}, list, growingList(list, one.items, item => itemOf(item, openFirst.has(one.id) && one.items.length <= 3), 50));
    });
    if (openFirst.has(one.id)) {
      section.fill();
      section.open = true;
    }
    return section;
  });
  return [...made, totalsSection(report)];
}

function notesOf(report) {
  if (!report.notes.length) return null;
  const list = element('ul', {}, report.notes.map(note => element('li', {}, note)));
  return element('details.notes', {open: report.notes.length <= 4}, element('summary', {}, writeNumberOf(report.notes.length, 'note')), list);
}

function factsOf(report) {
  return element('details.facts', {}, element('summary', {}, 'About this process'),
    element('dl', {}, report.facts.map(([name, text]) => [element('dt', {}, name), element('dd', {}, text)])));
}
