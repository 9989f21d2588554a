//! The colours of classes and regions: the same in drawings, reports, charts, exports and the viewer.

use std::collections::BTreeMap;

use crate::{detection::ClassId, pixels::Rgb};

/// Colours of classes by number; after the last they start again.
///
/// One set for all backgrounds, so that a class has the same colour everywhere. The tests check the
/// conditions of the search: any two are apart for normal sight and for each kind of colour blindness
/// (simulated after Machado et al. 2009, compared in Oklab), all stand out from white and from dark pages,
/// and the first four from hematoxylin and eosin.
pub const CLASS_COLOURS: [Rgb; 8] = [
    [18, 165, 156],
    [95, 52, 243],
    [193, 188, 13],
    [187, 0, 0],
    [10, 197, 255],
    [149, 38, 164],
    [101, 93, 97],
    [169, 114, 227],
];

/// Colour of tissue, which lies below all other regions.
pub const TISSUE_COLOUR: Rgb = [60, 72, 96];

/// The colour of a class.
#[must_use]
pub fn class_colour(class: ClassId) -> Rgb {
    CLASS_COLOURS[usize::from(class.0) % CLASS_COLOURS.len()]
}

/// Places in the colours of classes that people draw most. The first three stand out from hematoxylin and eosin.
const USUAL_REGIONS: [(&str, usize); 6] =
    [("tumor", 3), ("tumour", 3), ("stroma", 2), ("necrosis", 1), ("immune cells", 4), ("dense", 5)];

/// The colours of the regions of a slide or of a model, by their labels ([`region_label`](crate::wording::region_label)).
///
/// The name of the class decides, whoever drew it and in whatever case it is written: a class has one colour on all
/// slides and in all pictures. Where two of one slide would have the same, one has the next colour that is free: that
/// which people draw less, or is later by label. Of more than there are colours some share one. The colour of the first
/// class of cells is taken last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionColours(BTreeMap<String, Rgb>);

impl RegionColours {
    /// The colours of these regions; tissue, which has [`TISSUE_COLOUR`], is not to be among them.
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut labels: Vec<&str> = labels.into_iter().collect();
        labels.sort_unstable_by_key(|label| (usual_place(label).is_none(), *label));
        labels.dedup();
        let mut taken = [false; CLASS_COLOURS.len()];
        let colours = labels.into_iter().map(|label| {
            let wanted = wanted_place(label);
            let place = places_from(wanted).find(|&place| !taken[place]).unwrap_or(wanted);
            taken[place] = true;
            (label.to_owned(), CLASS_COLOURS[place])
        });
        Self(colours.collect())
    }

    /// The colour of the regions with this label; that of tissue for others.
    #[must_use]
    pub fn get(&self, label: &str) -> Rgb {
        self.0.get(label).copied().unwrap_or(TISSUE_COLOUR)
    }
}

/// All places in the colours, from `first` on in a circle without the first class of cells, which comes at the end.
fn places_from(first: usize) -> impl Iterator<Item = usize> {
    let others = CLASS_COLOURS.len() - 1;
    (0..others).map(move |step| 1 + (first - 1 + step) % others).chain([0])
}

/// The place of a class that people draw often.
fn usual_place(label: &str) -> Option<usize> {
    let class = class_in(label).to_lowercase();
    USUAL_REGIONS.iter().find(|(name, _)| *name == class).map(|&(_, place)| place)
}

/// The place that a class has where nothing else wants it, not 0.
fn wanted_place(label: &str) -> usize {
    let others = CLASS_COLOURS.len() as u32 - 1;
    let by_name = 1 + fnv1a(&class_in(label).to_lowercase()) % others;
    usual_place(label).unwrap_or(by_name as usize)
}

/// The class in a label such as `roi: Tumor`. Bands along its border are another thing, so their label is their class.
fn class_in(label: &str) -> &str {
    match label.split_once(": ") {
        Some((kind, class)) if !kind.contains(':') => class,
        _ => label,
    }
}

/// A number of a text, the same everywhere: FNV-1a of 32 bits (Fowler, Noll and Vo).
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A colour in the form of style sheets and SVG: `#12a59c`.
#[must_use]
pub fn css_colour([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Vector = [f64; 3];
    type Matrix = [Vector; 3];

    /// Matrices of sight, in linear RGB: normal, deutan, protan, tritan (Machado et al. 2009, severity 1).
    const SIGHTS: [Matrix; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    fn times(matrix: &Matrix, vector: Vector) -> Vector {
        matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
    }

    /// Undoes the curve of sRGB.
    fn linear(colour: Rgb) -> Vector {
        colour.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// Oklab of linear RGB (Ottosson 2020): distances in it are those that people see, black to white being 1.
    fn oklab(rgb: Vector) -> Vector {
        const CONES: Matrix = [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ];
        const LAB: Matrix = [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ];
        times(&LAB, times(&CONES, rgb.map(|value| value.clamp(0.0, 1.0))).map(f64::cbrt))
    }

    fn apart(a: Rgb, b: Rgb, sight: &Matrix) -> f64 {
        let [a, b] = [a, b].map(|colour| oklab(times(sight, linear(colour))));
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    /// Contrast as WCAG 2 defines it.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let [a, b] = [a, b].map(|colour| {
            let [red, green, blue] = linear(colour);
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        });
        (a / b).max(b / a)
    }

    #[test]
    fn any_two_classes_are_told_apart_by_the_colour_blind() {
        for (place, &first) in CLASS_COLOURS.iter().enumerate() {
            for &second in &CLASS_COLOURS[place + 1..] {
                let least = SIGHTS.iter().map(|sight| apart(first, second, sight)).fold(f64::MAX, f64::min);
                assert!(least > 0.1, "{} and {}: {least}", css_colour(first), css_colour(second));
            }
        }
    }

    #[test]
    fn colours_stand_out_from_paper_from_dark_pages_and_from_tissue() {
        let [eosin, hematoxylin] = [[228, 170, 205], [105, 70, 145]];
        for (place, &colour) in CLASS_COLOURS.iter().enumerate() {
            assert!(contrast(colour, [255; 3]) > 1.9, "{} on white", css_colour(colour));
            assert!(contrast(colour, [27, 31, 38]) > 2.2, "{} on a dark page", css_colour(colour));
            let tissue = [eosin, hematoxylin].map(|tissue| apart(colour, tissue, &SIGHTS[0]));
            assert!(
                place >= 4 || tissue.iter().all(|&apart| apart > 0.15),
                "{} on tissue: {tissue:?}",
                css_colour(colour)
            );
        }
    }

    #[test]
    fn colours_are_written_as_style_sheets_do() {
        assert_eq!(css_colour([18, 165, 9]), "#12a509");
        assert_eq!(class_colour(ClassId(8)), class_colour(ClassId(0)));
    }

    #[test]
    fn a_class_of_regions_has_its_colour_wherever_it_is_seen() {
        let of = |labels: &[&str], label: &str| RegionColours::new(labels.iter().copied()).get(label);
        let tumour = of(&["tumour"], "tumour");
        assert_eq!(tumour, of(&["roi: Stroma", "roi: Tumor", "dense"], "roi: Tumor"));
        assert_eq!(of(&["gland"], "gland"), of(&["roi: Gland", "roi: Tumor"], "roi: Gland"));
        assert_ne!(tumour, of(&["margin:0..50: Tumor", "roi: Tumor"], "margin:0..50: Tumor"));
        for first in ["tumour", "gland", "follicle", "x", ""] {
            assert_ne!(of(&[first], first), class_colour(ClassId(0)), "cells of the first class lie in it");
        }
        assert_eq!(of(&["tumour"], "tissue"), TISSUE_COLOUR);
    }

    #[test]
    fn regions_of_one_slide_share_no_colour_while_there_are_enough() {
        let labels = ["roi: Tumor", "tumour", "roi: tumor", "a", "b", "c", "d", "e", "f", "g"];
        for count in 1..=labels.len() {
            let colours = RegionColours::new(labels.into_iter().take(count));
            let mut seen: Vec<Rgb> = labels[..count].iter().map(|label| colours.get(label)).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), count.min(CLASS_COLOURS.len()));
            assert_eq!(seen.contains(&CLASS_COLOURS[0]), count >= CLASS_COLOURS.len());
        }
    }
}
