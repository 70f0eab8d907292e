"""A reliability plot as plain SVG: what was promised against what came true. It refuses to compute either."""

from slipway_reranker.fitting import Matrix, Truths, calibration_error, reliability

SIDE, EDGE = 300, 40


def draw(values: Matrix, truths: Truths) -> str:
    """A bar per tenth of promise, as high as the share that came true; its width is the share of the rows. The line is perfect calibration."""
    parts = [f'<path d="M{EDGE} {EDGE + SIDE}L{EDGE + SIDE} {EDGE}" stroke="#999" stroke-dasharray="4"/>']
    for promised, true, share in reliability(values, truths):
        x, width, height = EDGE + SIDE * promised, 6 + 40 * share, SIDE * true
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{EDGE + SIDE - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#4269d0" opacity="0.7"/>'
        )
    for tenth in range(0, 11, 2):
        parts.append(f'<text x="{EDGE + SIDE * tenth / 10 - 8:.0f}" y="{EDGE + SIDE + 16}">{tenth / 10}</text>')
        parts.append(f'<text x="8" y="{EDGE + SIDE - SIDE * tenth / 10 + 4:.0f}">{tenth / 10}</text>')
    title = f"evidence promised, and share that held an answer; ECE {calibration_error(values, truths):.3f}, {len(values):,} lists"
    size = SIDE + 2 * EDGE
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + 120}" height="{size}" font-size="12" font-family="sans-serif">'
        f'<text x="8" y="20">{title}</text><rect x="{EDGE}" y="{EDGE}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#333"/>{body}</svg>\n'
    )
