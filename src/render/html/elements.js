// Elements, and numbers in words. Texts become text nodes: nothing that a report holds is ever read as markup.

/** element('a.plain', {href: '#'}, 'text', …): properties by name, attributes with a '-' or 'role' in it, on* listeners. */
function element(kind, properties, ...children) {
  const [tag, ...classes] = kind.split('.');
  const made = document.createElement(tag || 'div');
  if (classes.length) made.className = classes.join(' ');
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name.includes('-') || name === 'role' || name === 'scope' || name === 'for') made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== ''));
  return made;
}

/** The same for drawings, whose properties are all attributes. */
function shape(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const byId = id => document.getElementById(id);

/** Tells people who do not see the page what has changed. */
function say(text) {
  byId('said').textContent = text;
}

const writeCount = number => Math.round(number).toLocaleString('en-US');

function writeBytes(bytes) {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  let value = bytes / 1024, unit = 0;
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  while (value >= 1023.95 && unit + 1 < units.length) value /= 1024, ++unit;
  return `${value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

function writeDuration(nanoseconds) {
  const seconds = nanoseconds / 1e9;
  if (seconds < 0.9995) return `${Number((seconds * 1e3).toPrecision(3))} ms`;
  if (seconds < 99.95) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

function writeNumberOf(count, thing) {
  const number = `${writeCount(count)} ${thing}`;
  if (count === 1) return number;
  if (thing.endsWith('child')) return `${number}ren`;
  return thing.endsWith('y') ? `${number.slice(0, -1)}ies` : `${number}s`;
}

const writeChange = (change, write) => (change > 0 ? '+' : change < 0 ? '−' : '±') + write(Math.abs(change));

/** A list that begins with some of its rows, and grows when asked to. */
function growingList(list, rows, make, first = 100) {
  let shown = 0;
  const more = element('button.more', {type: 'button', onclick: () => {
    const at = shown;
    show(shown * 3);
    list.children[at]?.querySelector('a, summary, button')?.focus();
  }});
  function show(most) {
    for (; shown < Math.min(most, rows.length); ++shown) list.append(make(rows[shown], shown));
    more.hidden = shown >= rows.length;
    more.textContent = `Show more (${writeCount(rows.length - shown)} left)`;
  }
  show(first);
  return more;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Where a page may not write to the clipboard itself, it may still press Ctrl+C.
    const area = element('textarea', {value: text});
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  say(`${what} copied`);
}

/** A button that says that it has copied. */
function copyButton(label, text, what) {
  const button = element('button', {type: 'button', onclick: async () => {
    await copy(text(), what);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = label; }, 1500);
  }}, label);
  return button;
}
