// The flame graph: calls from the top down, as wide as what was acquired through them; inverted, from what acquires to
// its callers. Drawn on a canvas, since a report may have a million calls, of which only those that are wide enough to
// see are drawn: elements would take minutes. What is focused is also said in words.

const rowHeight = 20;

/** Calls by name: a line more or less in a function is the same call. */
const frameGroups = (() => {
  const known = new Map();
  return frames.map(([name, , file]) => {
    const key = `${name}\0${file}`;
    if (!known.has(key)) known.set(key, known.size);
    return known.get(key);
  });
})();

class Call {
  constructor(name, number, parent) {
    this.name = name;
    this.number = number;  // of a frame; -1: none
    this.parent = parent;
    this.depth = parent ? parent.depth + 1 : 0;
    this.value = 0;   // now
    this.width = 0;   // the larger of now and before
    this.change = 0;
    this.sites = 0;
    this.calls = new Map();
  }
  at(key, name, number) {
    let call = this.calls.get(key);
    if (!call) this.calls.set(key, call = new Call(name, number, this));
    return call;
  }
  add(value, then) {
    this.value += value;
    this.width += Math.max(value, then);
    this.change += value - then;
    ++this.sites;
  }
  sorted() { return this.order ||= [...this.calls.values()].sort((a, b) => b.width - a.width || (a.name < b.name ? -1 : 1)); }
}

/** `entries`: {place, value, then}. */
function callTree(entries, isInverted) {
  const root = new Call('all', -1, null);
  let depth = 0;
  for (const {place, value, then} of entries) {
    if (!value && !then) continue;
    const stack = stackOf(place.node);
    if (!isInverted) stack.reverse();
    let call = root;
    root.add(value, then);
    const addAcquirer = () => {
      if (!place.acquired_by) return;
      call = call.at(place.acquired_by, place.acquired_by, -1);
      call.add(value, then);
    };
    if (isInverted) addAcquirer();
    for (const number of stack) {
      call = call.at(frameGroups[number], frames[number][0], number);
      call.add(value, then);
    }
    if (!isInverted) addAcquirer();
    depth = Math.max(depth, call.depth);
  }
  root.deepest = depth;
  return root;
}

class Graph {
  /** options: write, search, isChange, showSites(name of a frame), title. */
  constructor(root, options) {
    this.root = this.top = this.focus = root;
    this.options = options;
    this.drawn = [];
    this.canvas = element('canvas', {tabIndex: 0, role: 'img', onkeydown: event => this.press(event),
      onclick: event => this.click(event), onmousemove: event => this.hover(event),
      onmouseleave: () => { this.hovered = null; this.tip.hidden = true; this.draw(); }});
    this.tip = element('div.tip', {hidden: true, 'aria-hidden': 'true'});
    this.path = element('nav.path', {'aria-label': 'Zoomed into'});
    this.words = element('p.words', {'aria-live': 'polite'});
    this.element = element('div.graph', {}, this.path, this.words, element('div.sheet', {}, this.canvas, this.tip));
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.element);
    this.zoom(root);
  }

  zoom(call) {
    this.top = this.focus = call;
    const way = [];
    for (let at = call; at; at = at.parent) way.unshift(at);
    const steps = way.length > 6 ? [way[0], null, ...way.slice(-4)] : way;
    this.path.replaceChildren(...steps.map(at => at
      ? element('button', {type: 'button', onclick: () => this.zoom(at), disabled: at === call}, at.name)
      : element('span', {}, '…')));
    this.path.hidden = call === this.root;
    this.describe();
    this.draw();
  }

  share(call) { return this.root.width ? `${(100 * call.width / this.root.width).toFixed(1)} %` : ''; }

  /** A call in words. */
  text(call) {
    const {write, isChange} = this.options;
    const number = isChange ? `${write(call.value - call.change)} → ${write(call.value)} (${writeChange(call.change, write)})`
      : `${write(call.value)}, ${this.share(call)}`;
    return `${call.name}: ${number}, ${writeNumberOf(call.sites, 'call site')}`;
  }

  describe() {
    const call = this.focus;
    const place = call.number >= 0 ? frame(call.number).place : '';
    const isNamed = call !== this.root;
    this.words.replaceChildren(element('b', {}, this.text(call)), place ? ` ${place} ` : ' ',
      isNamed && call !== this.top ? element('button', {type: 'button', onclick: () => this.zoom(call)}, 'Zoom in') : '',
      isNamed ? element('button', {type: 'button', onclick: () => this.options.showSites(call)},
        call.sites === 1 ? 'Show call site' : 'Show call sites') : '');
    this.canvas.setAttribute('aria-label', `${this.options.title}. ${this.text(call)}. Arrow keys walk along calls, Enter zooms in, Escape out.`);
  }

  /** Calls from the one that is zoomed into, with those that lead to it above. */
  layout(width) {
    this.drawn = [];
    this.narrow = [];  // calls too narrow to see, together
    const above = [];
    for (let at = this.top.parent; at; at = at.parent) above.unshift(at);
    above.forEach((call, row) => this.drawn.push({call, row, x: 0, width, isAbove: true}));
    let deepest = above.length;
    const place = (call, x, wide) => {
      const row = call.depth;
      this.drawn.push({call, row, x, width: wide});
      deepest = Math.max(deepest, row);
      const start = x;
      const called = wide * call.sorted().reduce((sum, one) => sum + one.width, 0) / call.width;
      for (const one of call.sorted()) {
        const part = wide * one.width / call.width;
        if (part < 0.4) {  // and so are all after it
          const rest = called - (x - start);
          if (rest > 0.1) this.narrow.push({row: row + 1, x, width: rest});
          break;
        }
        place(one, x, part);
        x += part;
      }
    };
    place(this.top, 0, width);
    return deepest + 1;
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const rows = this.layout(width);
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.min(32000, Math.round(rows * rowHeight * scale));
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${rows * rowHeight}px`;
    const paint = this.canvas.getContext('2d');
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const isDark = colour('--is-dark') === '1';
    const font = colour('--sans');
    paint.scale(scale, scale);
    paint.textBaseline = 'middle';
    const search = this.options.search;
    let found = 0, foundUntil = -1;
    paint.fillStyle = colour('--line');
    for (const {row, x, width: wide} of this.narrow) paint.fillRect(x, row * rowHeight, wide, rowHeight - 1);
    for (const {call, row, x, width: wide, isAbove} of this.drawn) {
      const isFound = search.isOn && this.isFound(call);
      if (isFound && !isAbove && x >= foundUntil - 0.01) found += call.width, foundUntil = x + wide;
      const y = row * rowHeight;
      const gap = wide > 3 ? 1 : 0;
      paint.globalAlpha = isAbove ? 0.55 : search.isOn && !isFound ? 0.35 : 1;
      paint.fillStyle = isFound ? colour('--found') : this.fill(call, isDark);
      paint.fillRect(x, y, Math.max(0.5, wide - gap), rowHeight - 1);
      if (call === this.hovered || (call === this.focus && document.activeElement === this.canvas)) {
        paint.globalAlpha = 1;
        paint.strokeStyle = colour('--text');
        paint.lineWidth = 2;
        paint.strokeRect(x + 1, y + 1, Math.max(1, wide - gap - 2), rowHeight - 3);
      }
      if (wide < 28) continue;
      paint.globalAlpha = isAbove ? 0.8 : 1;
      paint.font = `${call.number >= 0 && frames[call.number][5] & frameFlag.own ? '600 ' : ''}12px ${font}`;
      paint.fillStyle = isFound ? colour('--on-found') : isDark ? '#f4f4f5' : '#18181b';
      const text = this.fit(paint, call, wide - 9);
      if (text) paint.fillText(text, x + 4, y + rowHeight / 2);
    }
    paint.globalAlpha = 1;
    this.options.onfound?.(search.isOn && this.root.width ? found / this.root.width : null);
  }

  isFound(call) {
    if (call.number >= 0) return this.options.search.frames[call.number];
    return call !== this.root && this.options.search.matches(call.name);
  }

  fit(paint, call, room) {
    const number = this.options.isChange ? writeChange(call.change, this.options.write) : this.options.write(call.value);
    const full = `${call.name}  ${number}`;
    if (paint.measureText(full).width <= room) return full;
    if (paint.measureText(call.name).width <= room) return call.name;
    let low = 0, high = call.name.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (paint.measureText(`${call.name.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    return low > 1 ? `${call.name.slice(0, low)}…` : '';
  }

  /** The program's own calls are warm, libraries' cool; in a comparison, what grew is red and what shrank green. */
  fill(call, isDark) {
    if (this.options.isChange) {
      const part = call.width ? call.change / call.width : 0;
      const strength = Math.min(1, Math.abs(part));
      if (strength < 0.001) return isDark ? '#3f3f46' : '#e4e4e7';
      const hue = part > 0 ? 4 : 140;
      return isDark ? `hsl(${hue} ${30 + 40 * strength}% ${26 + 12 * strength}%)` : `hsl(${hue} ${45 + 35 * strength}% ${90 - 25 * strength}%)`;
    }
    if (call === this.root) return isDark ? '#3f3f46' : '#d4d4d8';
    let mix = 0;
    for (let at = 0; at < call.name.length; ++at) mix = (mix * 31 + call.name.charCodeAt(at)) >>> 0;
    const spread = mix % 1000 / 1000;
    const flags = call.number >= 0 ? frames[call.number][5] : 0;
    if (flags & frameFlag.own) return isDark ? `hsl(${22 + 26 * spread} 52% ${30 + 7 * spread}%)` : `hsl(${26 + 24 * spread} 92% ${71 + 8 * spread}%)`;
    return isDark ? `hsl(${212 + 18 * spread} 22% ${29 + 6 * spread}%)` : `hsl(${206 + 20 * spread} 38% ${81 + 6 * spread}%)`;
  }

  find(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, row = Math.floor((event.clientY - box.top) / rowHeight);
    return this.drawn.find(one => one.row === row && x >= one.x && x < one.x + one.width)?.call;
  }

  hover(event) {
    const call = this.find(event);
    const box = this.element.getBoundingClientRect();
    this.tip.hidden = !call;
    if (call) {
      const place = call.number >= 0 ? frame(call.number).place : '';
      this.tip.replaceChildren(element('b', {}, call.name), element('span', {}, this.text(call).slice(call.name.length + 2)),
        place && place !== call.name ? element('span', {}, place) : '');
      const left = event.clientX - box.left + 14;
      this.tip.style.left = `${Math.max(0, Math.min(left, box.width - this.tip.offsetWidth - 4))}px`;
      this.tip.style.top = `${event.clientY - this.canvas.getBoundingClientRect().top + 18}px`;
    }
    if (call !== this.hovered) {
      this.hovered = call;
      this.draw();
    }
  }

  click(event) {
    const call = this.find(event);
    if (call) this.zoom(call === this.top && call.parent ? call.parent : call);
  }

  press(event) {
    const call = this.focus;
    const row = call.parent && call !== this.top ? call.parent.sorted() : [call];
    const beside = row.indexOf(call);
    const steps = {ArrowDown: call.sorted()[0], ArrowUp: call.parent, ArrowLeft: row[beside - 1], ArrowRight: row[beside + 1]};
    if (event.key === 'Enter') this.zoom(call);
    else if (event.key === 'Escape' && this.top !== this.root) this.zoom(this.top.parent);
    else if (steps[event.key]) {
      const next = steps[event.key];
      if (event.key === 'ArrowUp' && call === this.top) this.zoom(next);
      this.focus = next;
      this.describe();
      this.draw();
    } else if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
  }
}
