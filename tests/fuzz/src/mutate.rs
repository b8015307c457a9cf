//! Inputs from a corpus by a seed: the usual mutations of a fuzzer, without its feedback.
//!
//! It must not know what an input means, but for which bytes are numbers that readers stumble over.

use fairground_kit::chance::Chance;

use super::INPUT_MAX;

/// Numbers at which lengths, signs and tags turn.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
    64 * 1024 * 1024,
    4 * 1024 * 1024 + 1,
];
/// Bytes that texts are divided by.
const MARKS: &[u8] = b"\0\n\r\t ,;:=./-+%~\"'\\{}[]()<>&?#@!*|^$_0a\xFF\xC3";

/// Makes inputs.
pub struct Mutator(Chance);

impl Mutator {
    /// The mutator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Chance::new(seed))
    }

    fn byte(&mut self) -> u8 {
        self.0.next().to_le_bytes()[0]
    }

    fn pick<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        let place = self.0.place(corpus.len());
        corpus.get(place).map_or(&[], Vec::as_slice)
    }

    /// The next input: one of the corpus, changed in one to eight places.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(corpus).to_vec();
        for _ in 0..=self.0.place(8) {
            self.change(&mut input, corpus);
        }
        input.truncate(INPUT_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.0.place(input.len().saturating_add(1));
        match self.0.place(11) {
            0 => {
                let mask = 1_u8 << self.0.place(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= mask;
                }
            }
            1 => {
                let new = self.byte();
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
            2 => {
                let new = MARKS.get(self.0.place(MARKS.len())).copied().unwrap_or(0);
                input.insert(at, new);
            }
            3 => input.truncate(at),
            4 => {
                let until = self.0.place(input.len().saturating_sub(at).saturating_add(1));
                input.drain(at..at.saturating_add(until));
            }
            5 => {
                let number = NUMBERS.get(self.0.place(NUMBERS.len())).copied().unwrap_or(0);
                let width = [1, 2, 4, 8].get(self.0.place(4)).copied().unwrap_or(8);
                for (place, byte) in number.to_le_bytes().into_iter().take(width).enumerate() {
                    if let Some(target) = input.get_mut(at.saturating_add(place)) {
                        *target = byte;
                    }
                }
            }
            6 => {
                let length = self.0.place(32);
                let new: Vec<u8> = (0..length).map(|_| self.byte()).collect();
                input.splice(at..at, new);
            }
            7 => {
                // A part of itself once more.
                let from = self.0.place(input.len().saturating_add(1));
                let length = self.0.place(64);
                let end = from.saturating_add(length).min(input.len());
                let part = input.get(from..end).unwrap_or_default().to_vec();
                input.splice(at..at, part);
            }
            8 => {
                // Its beginning, and the end of another.
                let other = self.pick(corpus).to_vec();
                let from = self.0.place(other.len().saturating_add(1));
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            9 => {
                let digits = self.0.next().to_string();
                input.splice(at..at, digits.bytes());
            }
            _ => {
                let step = u8::try_from(self.0.place(9)).unwrap_or(0).wrapping_sub(4);
                if let Some(byte) = input.get_mut(at) {
                    *byte = byte.wrapping_add(step);
                }
            }
        }
    }
}
