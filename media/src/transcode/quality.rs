//! How near a picture comes to another: structural similarity of luma (SSIM; Wang, Bovik, Sheikh and
//! Simoncelli, 2004), over windows of eight by eight samples that overlap by half.
//!
//! Pure. It decides which quantizer a title gets, so it must be the same on every machine: sums are of
//! integers, and the few divisions are of IEEE 754 doubles in a fixed order.

#![expect(clippy::float_arithmetic, reason = "a ratio between zero and one")]

use crate::ladder::Size;

/// Side of a window, and the distance from one to the next.
const WINDOW: usize = 8;
const STEP: usize = 4;
/// The constants that keep quotients of flat windows finite: (0.01 * 255)^2 and (0.03 * 255)^2.
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// Mean over all windows of two planes of that size, without padding; 1 when they are equal. Nothing
/// in common is near zero. A plane smaller than a window, or cut off, has none: 0.
pub(super) fn ssim(size: Size, ours: &[u8], theirs: &[u8]) -> f64 {
    let width = usize::try_from(size.width).unwrap_or(0);
    let height = usize::try_from(size.height).unwrap_or(0);
    let (mut sum, mut count) = (0.0, 0_u32);
    for y in (0..(height + 1).saturating_sub(WINDOW)).step_by(STEP) {
        for x in (0..(width + 1).saturating_sub(WINDOW)).step_by(STEP) {
            let Some(window) = Window::of(width, (x, y), ours, theirs) else { return 0.0 };
            sum += window.ssim();
            count += 1;
        }
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Sums over one window.
#[derive(Default)]
struct Window {
    ours: u32,
    theirs: u32,
    squares: u32,
    products: u32,
}

impl Window {
    fn of(width: usize, (x, y): (usize, usize), ours: &[u8], theirs: &[u8]) -> Option<Self> {
        let mut window = Self::default();
        for row in y..y + WINDOW {
            let at = row * width + x;
            let rows = ours.get(at..at + WINDOW)?.iter().zip(theirs.get(at..at + WINDOW)?);
            for (a, b) in rows {
                let (a, b) = (u32::from(*a), u32::from(*b));
                window.ours += a;
                window.theirs += b;
                window.squares += a * a + b * b;
                window.products += a * b;
            }
        }
        Some(window)
    }

    fn ssim(&self) -> f64 {
        let samples = f64::from(u32::try_from(WINDOW * WINDOW).unwrap_or(1));
        let (a, b) = (f64::from(self.ours) / samples, f64::from(self.theirs) / samples);
        let variances = f64::from(self.squares) / samples - a * a - b * b;
        let covariance = f64::from(self.products) / samples - a * b;
        (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (variances + C2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 32, height: 24 };

    fn plane(of: impl Fn(u32, u32) -> u32) -> Vec<u8> {
        let rows = (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (x, y)));
        rows.map(|(x, y)| u8::try_from(of(x, y) % 256).unwrap()).collect()
    }

    #[test]
    fn equal_pictures_are_alike_and_worse_ones_less() {
        let picture = plane(|x, y| x * 7 + y * 3);
        assert!((ssim(SIZE, &picture, &picture) - 1.0).abs() < 1e-12);
        let brighter = plane(|x, y| (x * 7 + y * 3).min(245) + 6);
        let rougher = plane(|x, y| (x * 7 + y * 3) / 16 * 16);
        let other = plane(|x, y| x * x * 31 + y * 77);
        let all = [&rougher, &brighter, &other].map(|plane| ssim(SIZE, &picture, plane));
        assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
        assert!(all[1] > 0.8 && all[2] < 0.3, "{all:?}");
    }

    #[test]
    fn window_by_hand() {
        // One window: all 10 beside all 20. Covariance and variances are zero.
        let size = Size { width: 8, height: 8 };
        let wanted = (2.0 * 10.0 * 20.0 + C1) / (100.0 + 400.0 + C1);
        assert!((ssim(size, &[10; 64], &[20; 64]) - wanted).abs() < 1e-12);
        assert!(ssim(size, &[10; 63], &[20; 64]).abs() < 1e-12, "a plane cut off");
    }
}
