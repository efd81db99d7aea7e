"""A bar chart of ratios to the bare program, as SVG."""
from html import escape

COLOURS = ["#1b6ca8", "#7db7dd", "#c0504d", "#9bbb59", "#8064a2", "#f79646", "#7f7f7f", "#4f4f4f"]


def svg(results, names, title):
    """Rows of bars on a logarithmic scale from 1 to 1,000."""
    left, bar, width, scale = 300, 9, 940, 200
    rows = [(row["name"], [(name, ratio) for name in names if (ratio := row["ratios"].get(name))]) for row in results]
    rows = [row for row in rows if row[1]]
    height = 70 + sum(len(bars) * bar + 12 for _, bars in rows) + 20

    def x(ratio):
        from math import log10
        return left + scale * log10(min(max(ratio, 1), 1000))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="14">{escape(title)}</text>']
    for number, name in enumerate(names):
        at = 10 + number * 115
        out.append(f'<rect x="{at}" y="28" width="9" height="9" fill="{COLOURS[number % len(COLOURS)]}"/>'
                   f'<text x="{at + 12}" y="37">{escape(name)}</text>')
    for ratio in (1, 2, 5, 10, 100, 1000):
        out.append(f'<line x1="{x(ratio):.1f}" x2="{x(ratio):.1f}" y1="52" y2="{height - 10}" stroke="#ddd"/>'
                   f'<text x="{x(ratio):.1f}" y="50" text-anchor="middle" fill="#666">{ratio}×</text>')
    y = 60
    for name, bars in rows:
        out.append(f'<text x="{left - 8}" y="{y + len(bars) * bar / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for tool, ratio in bars:
            colour = COLOURS[names.index(tool) % len(COLOURS)]
            out.append(f'<rect x="{left}" y="{y}" width="{max(x(ratio) - left, 1):.1f}" height="{bar - 1}" fill="{colour}"/>'
                       f'<text x="{max(x(ratio), left + 1) + 3:.1f}" y="{y + bar - 1}" font-size="9">{ratio:.2f}</text>')
            y += bar
        y += 12
    return "\n".join([*out, "</svg>", ""])
