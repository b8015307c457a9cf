//! The maker's mark: a short text that is drawn into the corner of every picture of the mezzanine, so
//! that renditions, poster and storyboard all carry it.
//!
//! ```text
//!  text -> glyphs of one size -> scaled to the clip -> dark outline -> mark.yuv -> `overlay` of ffmpeg
//! ```
//!
//! It is drawn here: ffmpeg's own filter for text would take a person's words for part of its script.
//! There are no floats, so the same text gives the same bytes everywhere. The tile is grey in BT.709's
//! limited range, as the picture below it is, so nothing converts it. It must not know whose the text
//! is. Read next: `super::normalise`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};

use crate::error::MediaError;
use crate::jail::words;
use crate::ladder::Size;
use crate::probe::fenced;

const WEIGHT: FontWeight = FontWeight::Bold;
const RASTER: RasterHeight = RasterHeight::Size32;
/// Pixels of a character in the font, across and down.
const CELL: (usize, usize) = (get_raster_width(WEIGHT, RASTER), 32);
/// Height of the text by the short side of the picture, per cent; its distance from the edges too.
const SHARE: usize = 3;
/// Lines of the text at least, where the picture is wide enough for it.
const LINES_MIN: usize = 12;
/// Text of fewer lines cannot be read, and is left out, as is one that would take a third of the picture.
const LINES_LEGIBLE: usize = 7;
/// Characters at most; more are cut off.
const CHARACTERS_MAX: usize = 40;
/// How much the mark covers, of 255.
const OPACITY: usize = 128;
/// Luma of white and of black in limited range.
const WHITE: usize = 235;
const BLACK: usize = 16;
/// Chroma of what has no colour.
const GREY: u8 = 128;

/// A mark as a file, and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlay {
    pub(super) file: PathBuf,
    tile: Size,
    x: u32,
    y: u32,
}

/// A mark as pixels: what is drawn, and how much of it covers what is below.
#[derive(Debug, PartialEq, Eq)]
struct Tile {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    alpha: Vec<u8>,
}

impl Overlay {
    /// Draws the mark of pictures of that size into a file in `folder`; `None` where it could not be
    /// read.
    pub(super) fn write(
        text: &str,
        frame: Size,
        folder: &Path,
    ) -> Result<Option<Self>, MediaError> {
        let Some(tile) = Tile::draw(text, frame) else { return Ok(None) };
        let file = folder.join("mark.yuv");
        std::fs::write(&file, tile.to_bytes()).map_err(MediaError::io("write the mark"))?;
        let size = Size { width: pixels(tile.width), height: pixels(tile.height) };
        let margin = pixels(margin(frame));
        // Even, as chroma is at half the size.
        let place = |all: u32, own: u32| all.saturating_sub(own.saturating_add(margin)) & !1;
        let (x, y) = (place(frame.width, size.width), place(frame.height, size.height));
        Ok(Some(Self { file, tile: size, x, y }))
    }

    /// Arguments that open the file, as ffmpeg's second input.
    pub(super) fn input(&self) -> Vec<OsString> {
        let Size { width, height } = self.tile;
        let mut args = fenced("rawvideo", "rawvideo");
        args.extend(words(["-pixel_format", "yuva420p", "-framerate", "1"]));
        args.extend(words(["-video_size", &format!("{width}x{height}"), "-i"]));
        args.push(self.file.clone().into());
        args
    }

    /// A graph that makes the picture by `chain` and lays the mark over it, as `[marked]`.
    pub(super) fn over(&self, chain: &str) -> String {
        let Self { x, y, .. } = self;
        format!(
            "[0:V:0]{chain}[picture];[1:v:0]setparams=range=tv:colorspace=bt709[mark];\
             [picture][mark]overlay=x={x}:y={y}:format=yuv420[marked]"
        )
    }
}

impl Tile {
    fn draw(text: &str, frame: Size) -> Option<Self> {
        let glyphs: Vec<RasterizedChar> =
            text.chars().take(CHARACTERS_MAX).filter_map(glyph).collect();
        let font_width = glyphs.len() * CELL.0;
        if font_width == 0 {
            return None;
        }
        let short_side = index(frame.short_side());
        let wanted = (short_side * SHARE / 100).clamp(LINES_MIN, CELL.1);
        // Outlines take a sixth of the height, rounding up to even sides at most two pixels.
        let room = index(frame.width).saturating_sub(2 * margin(frame) + wanted / 6 + 4);
        let lines = wanted.min(room * CELL.1 / font_width);
        if lines < LINES_LEGIBLE || lines * 3 > short_side {
            return None;
        }
        let columns = (font_width * lines / CELL.1).max(1);
        let edge = (lines / 12).max(1);
        let even = |side: usize| (side + 2 * edge).next_multiple_of(2);
        let (width, height) = (even(columns), even(lines));
        let mut ink = vec![0; width * height];
        for (line, row) in ink.chunks_exact_mut(width).skip(edge).take(lines).enumerate() {
            for (column, pixel) in row.iter_mut().skip(edge).take(columns).enumerate() {
                *pixel = scaled(&glyphs, (column, columns), (line, lines));
            }
        }
        Some(Self::outlined(&ink, width, height, edge))
    }

    /// White ink with a dark edge around it, so that it can be read on any ground.
    fn outlined(ink: &[u8], width: usize, height: usize, edge: usize) -> Self {
        let (mut luma, mut alpha) = (Vec::new(), Vec::new());
        for (at, white) in ink.iter().enumerate() {
            let (x, y) = (at % width, at / width);
            let rows = y.saturating_sub(edge)..(y + edge + 1).min(height);
            let columns = x.saturating_sub(edge)..(x + edge + 1).min(width);
            let around = rows.flat_map(|row| columns.clone().map(move |column| (column, row)));
            let dark = around
                .filter(|(column, row)| {
                    column.abs_diff(x).pow(2) + row.abs_diff(y).pow(2) <= edge * (edge + 1)
                })
                .map(|(column, row)| ink.get(row * width + column).copied().unwrap_or(0))
                .max();
            // White lies on the dark; together they cover what the ground does not show through.
            let white = usize::from(*white);
            let dark = usize::from(dark.unwrap_or(0)) * (255 - white);
            let cover = white * 255 + dark;
            let grey = (WHITE * white * 255 + BLACK * dark).checked_div(cover).unwrap_or(BLACK);
            luma.push(byte(grey));
            alpha.push(byte(cover * OPACITY / (255 * 255)));
        }
        Self { width, height, luma, alpha }
    }

    /// Planes as ffmpeg's `yuva420p` has them.
    fn to_bytes(&self) -> Vec<u8> {
        let chroma = vec![GREY; self.luma.len() / 2];
        [self.luma.as_slice(), &chroma, &self.alpha].concat()
    }
}

/// A character as the font has it, or a question mark.
fn glyph(character: char) -> Option<RasterizedChar> {
    let raster = |character| get_raster(character, WEIGHT, RASTER);
    raster(character).or_else(|| raster('?'))
}

/// A pixel of the text at its size: the mean of what it covers of the font's pixels.
fn scaled(
    glyphs: &[RasterizedChar],
    (column, columns): (usize, usize),
    (line, lines): (usize, usize),
) -> u8 {
    let font_width = glyphs.len() * CELL.0;
    let mut sum = 0;
    for (y, high) in covered(line, CELL.1, lines) {
        for (x, wide) in covered(column, font_width, columns) {
            let row = glyphs.get(x / CELL.0).and_then(|glyph| glyph.raster().get(y));
            let ink = row.and_then(|row| row.get(x % CELL.0)).copied().unwrap_or(0);
            sum += usize::from(ink) * high * wide;
        }
    }
    byte(sum / (CELL.1 * font_width))
}

/// Which of `source` pixels the pixel `at` of `target` ones covers, and how much of each; all of it
/// adds up to `source`.
fn covered(at: usize, source: usize, target: usize) -> impl Iterator<Item = (usize, usize)> {
    let (from, to) = (at * source, (at + 1) * source);
    (from / target..to.div_ceil(target)).map(move |pixel| {
        let part = to.min((pixel + 1) * target) - from.max(pixel * target);
        (pixel, part)
    })
}

/// Pixels between the mark and the edges of the picture.
fn margin(frame: Size) -> usize {
    (index(frame.short_side()) * SHARE / 100).max(2)
}

fn index(side: u32) -> usize {
    usize::try_from(side).unwrap_or(usize::MAX / 256)
}

fn pixels(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: Size = Size { width: 1920, height: 1080 };

    fn drawn(text: &str, width: u32, height: u32) -> Tile {
        Tile::draw(text, Size { width, height }).unwrap()
    }

    #[test]
    fn text_is_three_per_cent_of_the_short_side() {
        assert_eq!(get_raster('A', WEIGHT, RASTER).unwrap().raster().len(), CELL.1);
        let tall = drawn("ash-and-oak", 1920, 1080);
        // 32 lines, and an outline of two pixels on each side.
        assert_eq!(tall.height, 36);
        assert_eq!(drawn("ash-and-oak", 1080, 1920).height, 36);
        // Below 400 lines it stays as large as it must be to be read.
        assert_eq!(drawn("ash-and-oak", 640, 360).height, 14);
        assert_eq!(drawn("ash-and-oak", 320, 180).height, 14);
    }

    #[test]
    fn sides_are_even_and_planes_are_whole() {
        for (width, height) in [(1920, 1080), (1280, 720), (854, 480), (406, 720), (320, 180)] {
            for text in ["abc", "Ash_7", &"W".repeat(30)] {
                let tile = drawn(text, width, height);
                assert_eq!((tile.width % 2, tile.height % 2), (0, 0));
                let area = tile.width * tile.height;
                assert_eq!((tile.luma.len(), tile.alpha.len()), (area, area));
                assert_eq!(tile.to_bytes().len(), area * 5 / 2);
                assert!(tile.luma.iter().all(|luma| (16..=235).contains(luma)));
                assert!(tile.alpha.iter().all(|alpha| usize::from(*alpha) <= OPACITY));
            }
        }
    }

    #[test]
    fn longest_handle_stays_inside_the_narrowest_picture_or_is_left_out() {
        let handle = "M".repeat(30);
        let folder = tempfile::tempdir().unwrap();
        let mut drawn = 0;
        for width in (16..=1080).step_by(2) {
            let frame = Size { width, height: 1920 };
            let Some(mark) = Overlay::write(&handle, frame, folder.path()).unwrap() else {
                assert!(width < 200, "no mark at {width}");
                continue;
            };
            drawn += 1;
            let distance = pixels(margin(frame));
            assert!(mark.x >= distance, "{width}: {mark:?}");
            assert!(mark.x + mark.tile.width + distance <= width, "{width}: {mark:?}");
            assert!(mark.y + mark.tile.height + distance <= 1920, "{width}: {mark:?}");
            assert_eq!((mark.x % 2, mark.y % 2), (0, 0));
        }
        assert!(drawn > 400);
        let flat = Size { width: 640, height: 16 };
        assert_eq!(Overlay::write("abc", flat, folder.path()).unwrap(), None);
    }

    #[test]
    fn letters_are_white_with_a_dark_edge_on_nothing() {
        let tile = drawn("HHH", 1920, 1080);
        let pixels = || tile.luma.iter().zip(&tile.alpha);
        assert!(pixels().any(|(luma, alpha)| *luma == 235 && usize::from(*alpha) == OPACITY));
        assert!(pixels().any(|(luma, alpha)| *luma == 16 && usize::from(*alpha) == OPACITY));
        assert!(pixels().any(|(_, alpha)| *alpha == 0));
    }

    #[test]
    fn every_character_of_a_handle_has_a_glyph_of_its_own() {
        let all = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['_', '-']);
        let tiles: Vec<Tile> =
            all.chain(['?']).map(|c| Tile::draw(&c.to_string(), HD).unwrap()).collect();
        for (at, tile) in tiles.iter().enumerate() {
            assert!(tile.alpha.iter().any(|alpha| *alpha > 0));
            assert!(!tiles[..at].contains(tile), "{at} looks like another");
        }
    }

    #[test]
    fn what_the_font_does_not_have_is_a_question_mark() {
        assert_eq!(Tile::draw("a\u{6f22}b", HD), Tile::draw("a?b", HD));
        assert_eq!(Tile::draw("", HD), None);
        let long = "x".repeat(CHARACTERS_MAX);
        assert_eq!(Tile::draw(&(long.clone() + "yz"), HD), Tile::draw(&long, HD));
    }

    #[test]
    fn scaling_loses_no_ink() {
        for target in 1..=100 {
            let mut parts = vec![0; 45];
            for at in 0..target {
                let covered: Vec<_> = covered(at, 45, target).collect();
                assert_eq!(covered.iter().map(|(_, part)| part).sum::<usize>(), 45);
                covered.into_iter().for_each(|(pixel, part)| parts[pixel] += part);
            }
            assert!(parts.iter().all(|part| *part == target));
        }
    }

    #[test]
    fn graph_names_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Overlay::write("ash", HD, folder.path()).unwrap().unwrap();
        let graph = mark.over("scale=2:2,format=yuv420p");
        assert!(graph.starts_with("[0:V:0]scale=2:2,format=yuv420p[picture];"), "{graph}");
        assert!(!graph.contains("ash") && !graph.contains("mark.yuv"), "{graph}");
        assert_eq!(std::fs::metadata(&mark.file).unwrap().len() % 5, 0);
    }
}
