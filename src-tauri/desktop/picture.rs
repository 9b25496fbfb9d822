//! An amount drawn into an icon, for panels that show no text beside one.
//!
//! Panels scale icons to about 22 pixels, so every stroke is two of these 44 wide and begins at an even one: figures stay sharp at
//! half the size.

use crate::face::Amount;

/// Pixels along one edge.
pub(crate) const EDGE_PX: usize = 44;
/// How large a pixel of a glyph is drawn.
const SCALE_PX: usize = 2;
const GAP_PX: usize = 2;
const UPPER_TOP_PX: usize = 4;
const LOWER_TOP_PX: usize = 20;
const BAR_TOP_PX: usize = 38;
const CORNER_PX: usize = 7;
/// Light figures on a dark plate read well on light panels and on dark ones.
const PLATE: [u8; 3] = [0x1f, 0x25, 0x2b];
const FIGURES: [u8; 3] = [0xff, 0xff, 0xff];

/// RGBA of an icon with the amount in two lines above a bar of that colour.
pub(crate) fn draw(amount: &Amount, bar: [u8; 3]) -> Vec<u8> {
    let mut rgba = vec![0; EDGE_PX * EDGE_PX * 4];
    for (x, y) in square(EDGE_PX).filter(|(x, y)| in_plate(*x, *y)) {
        set(&mut rgba, x, y, if y < BAR_TOP_PX { PLATE } else { bar });
    }
    write(&mut rgba, &amount.upper, UPPER_TOP_PX);
    write(&mut rgba, &amount.lower, LOWER_TOP_PX);
    rgba
}

/// Draws a text in the middle of the width.
fn write(rgba: &mut [u8], text: &str, top: usize) {
    let mut left = EDGE_PX.saturating_sub(width_px(text)) / (2 * SCALE_PX) * SCALE_PX;
    for glyph in text.chars().map(glyph) {
        for (row, line) in glyph.iter().enumerate() {
            for (column, _) in line.bytes().enumerate().filter(|(_, dot)| *dot == b'#') {
                for (x, y) in square(SCALE_PX) {
                    set(rgba, left + column * SCALE_PX + x, top + row * SCALE_PX + y, FIGURES);
                }
            }
        }
        left += glyph[0].len() * SCALE_PX + GAP_PX;
    }
}

fn width_px(text: &str) -> usize {
    text.chars().map(|letter| glyph(letter)[0].len() * SCALE_PX + GAP_PX).sum::<usize>().saturating_sub(GAP_PX)
}

/// What would lie outside is not drawn.
fn set(rgba: &mut [u8], x: usize, y: usize, colour: [u8; 3]) {
    if x < EDGE_PX && y < EDGE_PX {
        let at = (y * EDGE_PX + x) * 4;
        rgba[at..at + 3].copy_from_slice(&colour);
        rgba[at + 3] = u8::MAX;
    }
}

/// Whether a pixel lies in the square with round corners.
fn in_plate(x: usize, y: usize) -> bool {
    let beyond = |at: usize| CORNER_PX.saturating_sub(at).max((at + CORNER_PX + 1).saturating_sub(EDGE_PX));
    beyond(x).pow(2) + beyond(y).pow(2) <= CORNER_PX.pow(2)
}

fn square(edge: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..edge * edge).map(move |at| (at % edge, at / edge))
}

/// Every letter that an [`Amount`] has. Figures are as wide as each other.
fn glyph(letter: char) -> [&'static str; 7] {
    match letter {
        '0' => [" ### ", "#   #", "#   #", "#   #", "#   #", "#   #", " ### "],
        '1' => ["  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "],
        '2' => [" ### ", "#   #", "    #", "  ## ", " #   ", "#    ", "#####"],
        '3' => ["#### ", "    #", "    #", " ### ", "    #", "    #", "#### "],
        '4' => ["   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "],
        '5' => ["#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "],
        '6' => [" ### ", "#    ", "#    ", "#### ", "#   #", "#   #", " ### "],
        '7' => ["#####", "    #", "   # ", "   # ", "  #  ", "  #  ", "  #  "],
        '8' => [" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "],
        '9' => [" ### ", "#   #", "#   #", " ####", "    #", "    #", " ### "],
        '$' => ["  #  ", " ####", "# #  ", " ### ", "  # #", "#### ", "  #  "],
        'k' => ["#    ", "#    ", "#  # ", "# #  ", "##   ", "# #  ", "#  # "],
        'M' => ["#   #", "## ##", "# # #", "# # #", "#   #", "#   #", "#   #"],
        '.' => ["  ", "  ", "  ", "  ", "  ", "##", "##"],
        _ => [" "; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_an_amount_fits() {
        for text in ["$99", "100", "999", ".99", ".9k", ".9M", "$0"] {
            assert!(width_px(text) <= EDGE_PX - 4, "{text} is {} pixels wide", width_px(text));
        }
        for letter in "0123456789$kM.".chars() {
            assert!(glyph(letter).iter().all(|line| line.len() == glyph(letter)[0].len()), "{letter} has ragged lines");
            assert!(glyph(letter).concat().contains('#'), "{letter} is blank");
        }
    }

    #[test]
    fn another_amount_or_colour_is_another_picture() {
        let amount = |upper: &str, lower: &str| Amount { upper: upper.into(), lower: lower.into() };
        let teal = [0x0f, 0x9a, 0x8d];
        let picture = draw(&amount("$4", ".20"), teal);
        assert_ne!(picture, draw(&amount("$4", ".21"), teal));
        assert_ne!(picture, draw(&amount("$4", ".20"), [0xe5, 0x48, 0x4d]));
        // A corner is clear, the bar below has its colour.
        assert_eq!(picture[..4], [0; 4]);
        assert_eq!(picture[(42 * EDGE_PX + 22) * 4..][..4], [0x0f, 0x9a, 0x8d, 0xff]);
    }
}
