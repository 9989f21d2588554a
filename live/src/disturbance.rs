//! What a camera does to a picture.

use wsi_types::RgbBuffer;

use crate::dice::Dice;

/// Disturbances of a camera, a lamp and a specimen. The default disturbs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Disturbance {
    /// Standard deviation of noise on each byte, of 255.
    pub noise: f64,
    /// Largest change of light from frame to frame, as a share: 0.03 is 3 % up or down.
    pub light: f64,
    /// Standard deviation of blur, camera px.
    pub blur: f64,
    /// Part of green and blue that blood takes away, 0 to 1.
    pub blood: f64,
}

impl Disturbance {
    /// Disturbs one picture; `dice` are thrown as often for the same settings.
    pub(crate) fn apply(&self, pixels: &mut RgbBuffer, dice: &mut Dice) {
        if self.blur > 0.0 {
            blur(pixels, self.blur);
        }
        let light = 1.0 + dice.range(-self.light, self.light);
        let dimmed = light * (1.0 - self.blood);
        for pixel in pixels.bytes_mut().as_chunks_mut::<3>().0 {
            for (byte, gain) in pixel.iter_mut().zip([light, dimmed, dimmed]) {
                let noise = if self.noise > 0.0 { self.noise * dice.normal() } else { 0.0 };
                *byte = (f64::from(*byte) * gain + noise).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Gaussian blur, first along rows, then along columns; the border's px go on past it.
fn blur(pixels: &mut RgbBuffer, sd: f64) {
    let reach = (3.0 * sd).ceil() as usize;
    let weights: Vec<f64> = (0..=reach).map(|at| (-((at * at) as f64) / (2.0 * sd * sd)).exp()).collect();
    let (width, height) = (pixels.width(), pixels.height());
    for y in 0..height {
        blur_line(pixels.bytes_mut(), y * width * 3, 3, width, &weights);
    }
    for x in 0..width {
        blur_line(pixels.bytes_mut(), x * 3, width * 3, height, &weights);
    }
}

/// Blurs `count` px that begin at `start` and lie `step` bytes apart.
fn blur_line(bytes: &mut [u8], start: usize, step: usize, count: usize, weights: &[f64]) {
    let line: Vec<[u8; 3]> =
        (0..count).map(|at| [0, 1, 2].map(|channel| bytes[start + at * step + channel])).collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
    for at in 0..count {
        for channel in 0..3 {
            let mut value = weights[0] * f64::from(line[at][channel]);
            for (distance, weight) in weights.iter().enumerate().skip(1) {
                let before = line[at.saturating_sub(distance)][channel];
                let after = line[(at + distance).min(count - 1)][channel];
                value += weight * (f64::from(before) + f64::from(after));
            }
            bytes[start + at * step + channel] = (value / sum).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disturbed(disturbance: Disturbance) -> RgbBuffer {
        let mut pixels = RgbBuffer::filled(64, 48, [120, 100, 80]);
        pixels.row_mut(20)[30 * 3..31 * 3].copy_from_slice(&[255, 0, 0]);
        disturbance.apply(&mut pixels, &mut Dice::new(1));
        pixels
    }

    #[test]
    fn nothing_is_disturbed_unless_asked() {
        let pixels = disturbed(Disturbance::default());
        assert_eq!((pixels.pixel(0, 0), pixels.pixel(30, 20)), ([120, 100, 80], [255, 0, 0]));
    }

    #[test]
    fn noise_has_its_spread() {
        let pixels = disturbed(Disturbance { noise: 4.0, ..Disturbance::default() });
        let reds: Vec<f64> = pixels
            .bytes()
            .iter()
            .step_by(3)
            .map(|&red| f64::from(red) - 120.0)
            .filter(|off| off.abs() < 60.0)
            .collect();
        let square = reds.iter().map(|off| off * off).sum::<f64>() / reds.len() as f64;
        assert!((square.sqrt() - 4.0).abs() < 0.2, "{square}");
    }

    #[test]
    fn light_blur_and_blood_do_what_they_say() {
        let blood = disturbed(Disturbance { blood: 0.5, ..Disturbance::default() });
        assert_eq!(blood.pixel(0, 0), [120, 50, 40]);
        let light = disturbed(Disturbance { light: 0.1, ..Disturbance::default() }).pixel(0, 0);
        assert!(light[0] != 120 && light[0].abs_diff(120) <= 12, "{light:?}");
        let blurred = disturbed(Disturbance { blur: 1.0, ..Disturbance::default() });
        assert_eq!(blurred.pixel(0, 0), [120, 100, 80]);
        let (middle, beside) = (blurred.pixel(30, 20)[0], blurred.pixel(31, 20)[0]);
        assert!(middle < 255 && beside > 120 && middle > beside, "{middle} {beside}");
    }
}
