//! Files that people who do this job had trouble with, each with its right value: the shared cases of
//! reading, and painted files of the same kinds.
#![allow(clippy::unwrap_used)]

mod support;

use std::{path::Path, sync::Arc};

use support::{
    painted, shared_cases,
    tiff::{Flavour, PageSpec, write},
};
use wsi_reader::{
    MppSource, OpenOptions, Overview, Prefer, Slide, TileState,
    conformance::{assert_conforms, difference, whole_level},
    doctor, open, open_with, with_reduced_levels,
};
use wsi_types::{LevelIndex, Rgb, RgbBuffer, TileId};

fn case(name: &str) -> Option<Arc<dyn Slide>> {
    Some(open(&shared_cases("reading")?.join(name)).unwrap())
}

fn sizes(slide: &dyn Slide) -> Vec<(u32, u32)> {
    slide.info().pyramid.levels().iter().map(|level| (level.width(), level.height())).collect()
}

fn mpp(slide: &dyn Slide) -> Option<(f64, MppSource)> {
    slide.info().scale.as_ref().ok().map(|scale| (scale.mpp.get(), scale.source))
}

fn page(width: u32, height: u32) -> PageSpec {
    PageSpec::new(painted(width, height))
}

/// A page that calls itself a smaller copy of another.
fn reduced(width: u32, height: u32) -> PageSpec {
    page(width, height).with(|p| p.subfile = 1)
}

fn level0(slide: &dyn Slide) -> RgbBuffer {
    whole_level(slide, LevelIndex(0)).unwrap()
}

fn associated(slide: &dyn Slide) -> Vec<&str> {
    slide.info().associated.iter().map(|image| image.name.as_str()).collect()
}

/// Files that were read correctly, and must stay so: the scale, its source, and the pixels of the reference.
#[test]
fn right_readings_stay_right() {
    let Some(reference) = case("r00_reference.svs") else { return };
    assert_eq!(mpp(&*reference), Some((0.25, MppSource::Vendor)));
    let pixels = level0(&*reference);
    for (name, source, most) in [
        ("r01_progressive_tiles.svs", MppSource::Vendor, 0.5),
        // Compressed again, with whole chroma.
        ("r03_photometric_says_rgb.tif", MppSource::TiffResolution, 4.0),
        ("r04_ome_micro_latin1.ome.tif", MppSource::OmeXml, 0.0),
        ("r05_ome_micro_question_mark.ome.tif", MppSource::OmeXml, 0.0),
        ("r06_ome_micro_mojibake.ome.tif", MppSource::OmeXml, 0.0),
        ("r07_ome_unit_nm.ome.tif", MppSource::OmeXml, 0.0),
        ("r16_kfbio_garbage_description.svs", MppSource::Vendor, 0.0),
        ("r17_mpp_decimal_comma.svs", MppSource::Vendor, 0.0),
        ("r18_aperio_no_mpp_but_xresolution.svs", MppSource::TiffResolution, 0.0),
    ] {
        let slide = case(name).unwrap();
        assert_eq!(sizes(&*slide), [(1024, 1024)], "{name}");
        assert_eq!(mpp(&*slide), Some((0.25, source)), "{name}");
        assert_eq!(slide.info().remarks, Vec::<String>::new(), "{name}");
        let apart = difference(&level0(&*slide), &pixels);
        assert!(apart.mean <= most, "{name}: {apart:?}");
    }
}

#[test]
fn plain_pictures_and_impostors_stay_what_they_are() {
    let Some(folder) = shared_cases("reading") else { return };
    let imagej = case("r19_imagej_micron.tif").unwrap();
    assert_eq!(mpp(&*imagej), Some((0.25, MppSource::TiffResolution)));
    for (name, format) in [("r22_palette.png", "png"), ("r23_rgba.png", "png")] {
        let slide = case(name).unwrap();
        assert_eq!((slide.info().format.as_str(), mpp(&*slide)), (format, None), "{name}");
    }
    let refusal = |name: &str| open(&folder.join(name)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        refusal("r26_lfs_pointer.svs"),
        "not a slide: a Git LFS pointer: the file itself was not fetched; expected a TIFF, a PNG or JPEG picture, or a \
         format OpenSlide knows"
    );
    assert!(refusal("r27_zip.svs").starts_with("not a slide: a ZIP archive"), "{}", refusal("r27_zip.svs"));
    assert_eq!(
        refusal("r21_cmyk.jpg"),
        "not supported: a JPEG picture of CMYK colours (four inks, for print); gray and RGB are read"
    );
    let zeros = case("r29_preallocated_zeros.svs").unwrap();
    let checkup = doctor::check(&*zeros, &doctor::CheckOptions::full(1), &|_, _| {});
    assert!(checkup.unreadable() > 0, "tiles of zeros are no tiles");
}

#[test]
fn the_largest_page_is_level_0_whatever_the_order() {
    let Some(ascending) = case("r09_smallest_level_first.tif") else { return };
    assert_eq!(sizes(&*ascending), [(1024, 1024), (512, 512), (256, 256)]);
    assert_eq!(mpp(&*ascending), Some((0.25, MppSource::TiffResolution)));
    assert_conforms(&*ascending);
    let bare = case("r09b_smallest_first_no_resolution.tif").unwrap();
    assert_eq!((sizes(&*bare), mpp(&*bare)), (vec![(1024, 1024), (512, 512)], None));
}

#[test]
fn pages_in_any_order_give_one_pyramid() {
    let pages = [page(400, 300), reduced(200, 150), reduced(100, 75)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let file = File::of(&order.map(|place| pages[place].clone()));
        assert_eq!(sizes(&*file.slide), [(400, 300), (200, 150), (100, 75)], "{order:?}");
        assert!(level0(&*file.slide) == painted(400, 300), "{order:?}");
        assert!(file.slide.info().remarks.is_empty(), "{:?}", file.slide.info().remarks);
    }
}

#[test]
fn further_planes_and_scenes_are_named() {
    let Some(stack) = case("r24_zstack_rgb.tif") else { return };
    assert_eq!(sizes(&*stack), [(1024, 1024)]);
    assert_eq!(
        stack.info().remarks,
        [
            "2 more pictures of 1024 × 1024 px are not read (focal planes, time points or scenes): only the first is"
        ]
    );
    // Two focal planes, each with its pyramid behind it: the levels of the second are not those of the first.
    let planes = [page(400, 300), reduced(200, 150), page(400, 300), reduced(100, 75)];
    let file = File::of(&planes);
    assert_eq!(sizes(&*file.slide), [(400, 300), (200, 150)]);
    assert_eq!(
        file.slide.info().remarks,
        [
            "1 more picture of 400 × 300 px is not read (focal planes, time points or scenes): only the first is"
        ]
    );
    // Two scenes of OME-TIFF, the second smaller by half: no level of the first.
    let scene = |index: usize, size: &str| {
        format!(
            r#"<Image ID="Image:{index}"><Pixels ID="P{index}" {size} PhysicalSizeX="0.25"><TiffData IFD="{index}" PlaneCount="1"/></Pixels></Image>"#
        )
    };
    let xml = format!("<OME>{}{}</OME>", scene(0, r#"SizeX="400""#), scene(1, r#"SizeX="200""#));
    let file = File::of(&[page(400, 300).with(|p| p.description = xml), page(200, 150)]);
    assert_eq!(sizes(&*file.slide), [(400, 300)]);
    assert_eq!(
        file.slide.info().remarks,
        [
            "a picture of 200 × 150 px is not read: it shows another area than level 0 (another scene, or the glass)"
        ]
    );
}

#[test]
fn tiles_left_out_are_background_and_counted() {
    let Some(sparse) = case("r15_sparse_tiles.svs") else { return };
    let grid = sparse.info().pyramid.base().tiles;
    let tiles = (0..grid.rows()).flat_map(|row| (0..grid.columns()).map(move |column| (row, column)));
    let absent: Vec<_> = tiles
        .map(|(row, column)| TileId { level: LevelIndex(0), row, column })
        .filter(|&tile| sparse.is_absent(tile))
        .collect();
    assert_eq!(absent.len(), 3);
    for &tile in &absent {
        assert_eq!(sparse.tile_state(tile), TileState::Absent);
        let mut pixels = RgbBuffer::default();
        sparse.read_tile(tile, &mut pixels).unwrap();
        assert!(pixels.bytes().iter().all(|&byte| byte == 255));
    }
    let all = wsi_reader::absent_tiles(&*sparse, LevelIndex(0), 0.0, |_| true);
    assert_eq!((all.tiles, all.level0_px2), (3, 3.0 * 256.0 * 256.0));
    let first = f64::from(absent[0].column) * 256.0 + 1.0;
    let one = wsi_reader::absent_tiles(&*sparse, LevelIndex(0), 0.0, |area| {
        area.min.x < first && area.min.y < f64::from(absent[0].row) * 256.0 + 1.0
    });
    assert!(one.tiles >= 1 && one.tiles <= 3);
}

#[test]
fn pictures_are_read_as_viewers_show_them() {
    let Some(turned) = case("r20_exif_orientation6.jpg") else { return };
    let shown = case("r20_upright.jpg").unwrap();
    assert_eq!(sizes(&*turned), sizes(&*shown));
    let apart = difference(&level0(&*turned), &level0(&*shown));
    assert!(apart.mean < 3.0, "{apart:?}");
    assert_eq!(turned.info().remarks, ["turned upright, as its EXIF orientation 6 says and viewers show it"]);
    assert!(shown.info().remarks.is_empty());
}

/// The colour of everything that may name a patient, in painted files.
const INK: Rgb = [250, 0, 250];

struct File {
    _folder: tempfile::TempDir,
    slide: Arc<dyn Slide>,
}

impl File {
    fn of(pages: &[PageSpec]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("painted.tif");
        std::fs::write(&path, write(Flavour::PLAIN, pages)).unwrap();
        let slide = open(&path).unwrap();
        Self { _folder: folder, slide }
    }
}

/// `true` if no pixel has the colour of the ink.
fn is_clean(pixels: &RgbBuffer) -> bool {
    pixels.bytes().as_chunks::<3>().0.iter().all(|&[r, g, b]| r < 220 || g > 60 || b < 220)
}

/// Checks that no pixel of any level, reduced level, overview or picture other than label and macro holds
/// the ink.
fn assert_no_ink(slide: &Arc<dyn Slide>, what: &str) {
    let wide = with_reduced_levels(Arc::clone(slide));
    for view in [slide, &wide] {
        for level in 0..view.info().pyramid.levels().len() as u16 {
            assert!(is_clean(&whole_level(&**view, LevelIndex(level)).unwrap()), "{what}: level {level}");
        }
        for side in [20, 60, 400] {
            assert!(is_clean(&Overview::whole(&**view, side).pixels), "{what}: overview of {side} px");
        }
    }
    for image in &slide.info().associated {
        let mut pixels = RgbBuffer::default();
        slide.read_associated(&image.name, &mut pixels).unwrap();
        assert_eq!(
            is_clean(&pixels),
            !["label", "macro"].contains(&image.name.as_str()),
            "{what}: {}",
            image.name
        );
    }
}

/// Labels and macros of every shape, tiled and in strips, in every place of the file and in every maker's
/// words: they are never a level, never in an overview, and read only under their own names.
#[test]
fn labels_and_macros_never_show() {
    // As large as a level, square, wide, larger than the slide.
    for (w, h) in [(200, 150), (100, 75), (120, 120), (180, 60), (640, 480)] {
        for tile in [Some((64, 48)), None] {
            for (label_at, macro_at) in [(0, 0), (1, 2), (3, 0)] {
                for maker in Maker::ALL {
                    let [label, wide] = [w, w + 16]
                        .map(|w| PageSpec::new(RgbBuffer::filled(w, h, INK)).with(|p| p.tile = tile));
                    let mut pages = maker.slide();
                    let named = [("label", label, label_at), ("macro", wide, macro_at)];
                    let mut order: Vec<&str> = vec![""; pages.len()];
                    for (name, page, at) in named {
                        pages.insert(at.min(pages.len()), maker.beside(name, page));
                        order.insert(at.min(order.len()), name);
                    }
                    maker.describe(&mut pages, &order);
                    let file = File::of(&pages);
                    let what = format!("{maker:?}, {w} x {h}, tile {tile:?}, at {label_at} and {macro_at}");
                    assert_eq!(sizes(&*file.slide), [(400, 300), (200, 150), (100, 75)], "{what}");
                    let names = associated(&*file.slide);
                    assert!(names.contains(&"label") && names.contains(&"macro"), "{what}: {names:?}");
                    assert_no_ink(&file.slide, &what);
                }
            }
        }
    }
}

/// Ways in which a maker states the role of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Aperio,
    /// The kind of page alone.
    AperioWithoutNames,
    PerkinElmer,
    Ome,
    /// A description of the page's own.
    Generic,
}

impl Maker {
    const ALL: [Self; 5] =
        [Self::Aperio, Self::AperioWithoutNames, Self::PerkinElmer, Self::Ome, Self::Generic];

    fn slide(self) -> Vec<PageSpec> {
        let sizes = [(400, 300), (200, 150), (100, 75)];
        let pages = sizes.map(|(w, h)| {
            let text = match self {
                Self::Aperio | Self::AperioWithoutNames => {
                    format!("Aperio Image Library v11.2.1 \r\n400x300 -> {w}x{h}|AppMag = 40|MPP = 0.25")
                }
                Self::PerkinElmer => {
                    let kind = if w == 400 { "FullResolution" } else { "ReducedResolution" };
                    format!(
                        "<PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType></PerkinElmer-QPI-ImageDescription>"
                    )
                }
                Self::Ome | Self::Generic => String::new(),
            };
            PageSpec::new(painted(w, h)).with(|p| p.description = text)
        });
        pages.to_vec()
    }

    fn beside(self, name: &str, page: PageSpec) -> PageSpec {
        page.with(|p| match self {
            Self::Aperio => p.description = format!("Aperio Image Library v11.2.1 \r\n{name} 640x480"),
            Self::AperioWithoutNames => {
                p.description = "Aperio Image Library v11.2.1 \r\n".into();
                p.subfile = if name == "label" { 1 } else { 9 };
            }
            Self::PerkinElmer => {
                let kind = if name == "label" { "Label" } else { "Macro" };
                p.description = format!("<PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType></PerkinElmer-QPI-ImageDescription>");
            }
            Self::Ome => {}
            Self::Generic => p.description = format!("{name} image"),
        })
    }

    /// Returns the text of the first page, for makers that keep all facts in it.
    fn describe(self, pages: &mut [PageSpec], order: &[&str]) {
        if self != Self::Ome {
            return;
        }
        let slide: Vec<usize> = (0..order.len()).filter(|&at| order[at].is_empty()).collect();
        let data = |at: &usize| format!(r#"<TiffData IFD="{at}" PlaneCount="1"/>"#);
        let mut xml = format!(
            r#"<OME><Image Name="tissue"><Pixels PhysicalSizeX="0.25">{}</Pixels></Image>"#,
            slide.iter().map(data).collect::<String>()
        );
        for (at, name) in order.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            xml += &format!(r#"<Image Name="{name} image"><Pixels>{}</Pixels></Image>"#, data(&at));
        }
        pages[0].description = xml + "</OME>";
    }
}

#[test]
fn a_tiled_label_is_no_level() {
    let Some(slide) = case("r28_tiled_label.svs") else { return };
    assert_eq!(sizes(&*slide), [(1024, 1024), (512, 512)]);
    assert_eq!(associated(&*slide), ["label"]);
    let mut label = RgbBuffer::default();
    slide.read_associated("label", &mut label).unwrap();
    assert_eq!((label.width(), label.height()), (256, 320));
    // OpenSlide takes it for a level; we do not take it from OpenSlide.
    let path = shared_cases("reading").unwrap().join("r28_tiled_label.svs");
    let forced =
        open_with(&path, &OpenOptions { prefer: Prefer::OpenSlide, ..OpenOptions::default() }).unwrap();
    assert_eq!(sizes(&*forced), [(1024, 1024), (512, 512)]);
    assert_eq!(
        forced.info().remarks,
        ["1 of OpenSlide's levels are not read: they show another area than level 0"]
    );
    assert_conforms(&*forced);
}

#[test]
fn a_file_of_labels_alone_is_refused() {
    let label = PageSpec::new(painted(200, 150)).with(|p| p.description = "label image".into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("only.tif");
    std::fs::write(&path, write(Flavour::PLAIN, &[label])).unwrap();
    let refusal = open(&path).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "not supported: a file that says of all its pictures that they are labels, macros, thumbnails or masks"
    );
}

/// 4 GiB of holes: an NDPI of that size has its first directory at a place to which 4 bytes cannot point.
#[cfg(unix)]
#[test]
fn a_large_ndpi_is_left_to_openslide() {
    use std::os::unix::fs::FileExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.ndpi");
    let file = std::fs::File::create(&path).unwrap();
    let first = (4_u64 << 30) + 64;
    file.set_len(first + 1024).unwrap();
    file.write_all_at(b"II\x2a\0", 0).unwrap();
    file.write_all_at(&first.to_le_bytes(), 4).unwrap();
    file.write_all_at(b"\x01\0\x8c\xff\x04\0\x01\0\0\0\x01\0\0\0", first).unwrap();
    let ours = open_with(&path, &OpenOptions { prefer: Prefer::Tiff, ..OpenOptions::default() });
    let refusal = ours.map(|_| ()).unwrap_err().to_string();
    assert_eq!(refusal, "not supported: a hamamatsu slide, which OpenSlide reads");
}

/// The test names every case, so that a new one is judged.
#[test]
fn every_case_is_judged() {
    let Some(folder) = shared_cases("reading") else { return };
    let this = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases.rs")).unwrap();
    let more =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damage.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(this.contains(&name) || more.contains(&name), "{name} is in no test");
    }
}
