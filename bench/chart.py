"""A line chart with logarithmic axes, as SVG, for bench/README.md."""

import math

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 150, 48, 48
COLOURS = ("#c0392b", "#e67e22", "#8e44ad", "#1f6fb2", "#16a085")


def short(value):
    for size, name in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def decades(low, high):
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0 ** power for power in range(first, max(last, first + 1) + 1)]


def draw(title, x_title, lines):
    """`lines`: by name, points (x, y), all above 0."""
    points = [point for line in lines.values() for point in line]
    xs = decades(min(x for x, _ in points), max(x for x, _ in points))
    ys = decades(min(y for _, y in points), max(y for _, y in points))

    def place_x(value):
        return LEFT + (math.log10(value / xs[0]) / math.log10(xs[-1] / xs[0])) * (WIDTH - LEFT - RIGHT)

    def place_y(value):
        return HEIGHT - BOTTOM - (math.log10(value / ys[0]) / math.log10(ys[-1] / ys[0])) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="{LEFT}" y="26" font-size="16">{title}</text>']
    for y in ys:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place_y(y):.1f}" y2="{place_y(y):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{place_y(y) + 4:.1f}" text-anchor="end">{short(y)}</text>')
    for x in xs:
        parts.append(f'<line y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="{place_x(x):.1f}" x2="{place_x(x):.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{place_x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(x)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{x_title}</text>')
    ends = sorted(((place_y(line[-1][1]), name) for name, line in lines.items()))
    label_y = -math.inf
    for y, name in ends:
        colour = COLOURS[list(lines).index(name) % len(COLOURS)]
        label_y = max(y, label_y + 16)
        path = " ".join(f"{place_x(x):.1f},{place_y(value):.1f}" for x, value in lines[name])
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(value):.1f}" r="3.5" fill="{colour}"/>' for x, value in lines[name]]
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{label_y + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(parts + ["</svg>", ""])
