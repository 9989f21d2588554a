//! Counts over boxes of a tile file are those of the cells it was made from, and the places that it keeps are
//! theirs.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use viewer::tiles::{
    CellMark, DENSITY_BIN, DENSITY_SIDE, SCORE_STEPS, TILE_SIDE, TableFacts, TileFile, TileWriter, score_step,
};
use wsi_types::{ClassId, Level0Box, Level0Point};

const SIZE: [u32; 2] = [40_000, 30_000];

#[derive(Debug, Clone)]
struct Painted {
    class: u16,
    score: f32,
    centroid: Level0Point,
    ring: Vec<Level0Point>,
}

fn facts() -> TableFacts {
    TableFacts { sha256: "0a".repeat(32), bytes: 4711 }
}

fn is_on_slide(cell: &Painted) -> bool {
    let [width, height] = SIZE.map(f64::from);
    (0.0..width).contains(&cell.centroid.x) && (0.0..height).contains(&cell.centroid.y)
}

fn write(cells: &[Painted], pending: usize) -> (tempfile::TempDir, TileFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiles.smt");
    let file = std::fs::File::create(&path).unwrap();
    let names = ["tumour".to_owned(), "stroma".to_owned()];
    let mut writer = TileWriter::new(file, facts(), SIZE, &names).unwrap().with_pending_limit(pending);
    for Painted { class, score, centroid, ring } in cells {
        let bbox = Level0Box::from_points(ring);
        let mark = CellMark { class: ClassId(*class), score: *score, centroid: *centroid, bbox, ring };
        writer.push(&mark).unwrap();
    }
    writer.finish().unwrap();
    let tiles = TileFile::open(&path).unwrap();
    (folder, tiles)
}

/// Returns coordinates in and around the slide; many of them on borders of px, bins and tiles.
fn coordinate(side: u32) -> impl Strategy<Value = f64> {
    let side = f64::from(side);
    prop_oneof![
        4 => -20.0..side + 20.0,
        2 => (0.0..side).prop_map(f64::floor),
        1 => (0.0..side).prop_map(|value| (value / f64::from(DENSITY_BIN)).floor() * f64::from(DENSITY_BIN)),
        1 => (0.0..side).prop_map(|value| (value / f64::from(TILE_SIDE)).floor() * f64::from(TILE_SIDE)),
        1 => (0.0..side).prop_map(|value| value.floor().next_down()),
    ]
}

fn painted() -> impl Strategy<Value = Painted> {
    let score = prop_oneof![0.0_f32..=1.0, (0..=SCORE_STEPS).prop_map(|step| f32::from(step) / 100.0)];
    let ring = proptest::collection::vec((-90.0..90.0, -90.0..90.0), 3..9);
    (0_u16..4, score, coordinate(SIZE[0]), coordinate(SIZE[1]), ring).prop_map(
        |(class, score, x, y, ring)| {
            let centroid = Level0Point::new(x, y);
            let ring = ring.into_iter().map(|(dx, dy)| centroid + euclid::vec2(dx, dy)).collect();
            Painted { class, score, centroid, ring }
        },
    )
}

/// Returns boxes with corners on multiples of `step` px.
fn boxes(step: u32) -> impl Strategy<Value = [u32; 4]> {
    let [across, down] = SIZE.map(|most| (0..=most / step, 0..=most / step));
    (across, down).prop_map(move |((a, b), (c, d))| {
        [a.min(b) * step, c.min(d) * step, a.max(b) * step, c.max(d) * step]
    })
}

/// Returns the count of a query over the table.
fn expected(cells: &[Painted], [x0, y0, x1, y1]: [u32; 4], class: u16, threshold: f32) -> usize {
    let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(f64::from);
    let counted = cells.iter().filter(|cell| {
        cell.class == class
            && cell.score >= threshold
            && (x0..x1).contains(&cell.centroid.x)
            && (y0..y1).contains(&cell.centroid.y)
    });
    counted.count()
}

fn counted_points(tiles: &TileFile, [x0, y0, x1, y1]: [u32; 4], class: u16, step: u8) -> usize {
    let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|side| u64::from(side) * 16);
    let header = tiles.header();
    let cells = header
        .points
        .iter()
        .zip(&header.outlines)
        .flat_map(|(points, outlines)| tiles.cells(points, outlines).unwrap());
    cells
        .filter(|cell| cell.class.0 == class && cell.step >= step)
        .filter(|cell| (x0..x1).contains(&cell.place[0]) && (y0..y1).contains(&cell.place[1]))
        .count()
}

fn counted_bins(tiles: &TileFile, [x0, y0, x1, y1]: [u32; 4], class: u16, step: u8) -> usize {
    let cells = tiles.header().density.iter().flat_map(|tile| tiles.density(tile).unwrap());
    cells
        .filter(|cell| cell.class.0 == class && cell.step >= step)
        .filter(|cell| (x0..x1).contains(&cell.bin[0]) && (y0..y1).contains(&cell.bin[1]))
        .count()
}

proptest! {
    #[test]
    fn every_box_of_whole_px_counts_what_the_table_has(
        cells in proptest::collection::vec(painted(), 0..200),
        area in boxes(1),
        coarse in boxes(DENSITY_BIN),
        class in 0_u16..4,
        step in 0..=SCORE_STEPS,
        pending in prop_oneof![Just(1_usize), 100..9000_usize, Just(1 << 20)],
    ) {
        let (_folder, tiles) = write(&cells, pending);
        let threshold = f32::from(step) / 100.0;
        prop_assert_eq!(counted_points(&tiles, area, class, step), expected(&cells, area, class, threshold));
        prop_assert_eq!(counted_bins(&tiles, coarse, class, step), expected(&cells, coarse, class, threshold));
    }

    #[test]
    fn what_is_kept_of_a_cell_is_where_it_was(cells in proptest::collection::vec(painted(), 1..80), pending in 1..9000_usize) {
        let (_folder, tiles) = write(&cells, pending);
        let header = tiles.header();
        prop_assert_eq!(header.rows, cells.len() as u64);
        prop_assert_eq!(header.outside, cells.iter().filter(|cell| !is_on_slide(cell)).count() as u64);
        let totals: u64 = header.classes.iter().flat_map(|class| &class.steps).sum();
        prop_assert_eq!(totals, header.rows - header.outside);
        let mut seen = vec![0; cells.len()];
        for (points, outlines) in header.points.iter().zip(&header.outlines) {
            for kept in tiles.cells(points, outlines).unwrap() {
                let cell = &cells[kept.row as usize];
                seen[kept.row as usize] += 1;
                prop_assert_eq!((kept.class.0, kept.step), (cell.class, score_step(cell.score)));
                prop_assert_eq!(kept.place, [cell.centroid.x, cell.centroid.y].map(|value| (value * 16.0).floor() as u64));
                let tile = [kept.place[0], kept.place[1]].map(|place| (place / 16) as u32 / TILE_SIDE);
                prop_assert_eq!(tile, [points.column, points.row]);
                prop_assert_eq!(kept.ring.len(), cell.ring.len());
                for (kept, point) in kept.ring.iter().zip(&cell.ring) {
                    prop_assert!((kept[0] as f64 / 4.0 - point.x).abs() <= 0.125 && (kept[1] as f64 / 4.0 - point.y).abs() <= 0.125);
                    let far = (*point - cell.centroid).abs();
                    prop_assert!(far.x.max(far.y) <= header.reach_px);
                }
            }
        }
        let once: Vec<i32> = cells.iter().map(|cell| i32::from(is_on_slide(cell))).collect();
        prop_assert_eq!(seen, once, "each cell on the slide is kept once");
        for tile in &header.density {
            prop_assert!(tile.column <= SIZE[0] / DENSITY_SIDE && tile.row <= SIZE[1] / DENSITY_SIDE);
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_a_panic(cells in proptest::collection::vec(painted(), 1..20), at in 0_usize..4000, value: u8) {
        let (folder, tiles) = write(&cells, 1 << 20);
        drop(tiles);
        let path = folder.path().join("tiles.smt");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(tiles) = TileFile::open(&path) {
            let header = tiles.header();
            for tile in &header.density {
                let _ = tiles.density(tile);
            }
            for (points, outlines) in header.points.iter().zip(&header.outlines) {
                let _ = tiles.cells(points, outlines);
            }
        }
        for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            prop_assert!(TileFile::open(&path).is_err());
        }
    }
}

#[test]
fn the_same_cells_give_the_same_bytes() {
    let cells: Vec<Painted> = (0..500)
        .map(|index| {
            let centroid =
                Level0Point::new(f64::from(index * 7919 % 40_000), f64::from(index * 104_729 % 30_000));
            let ring = [(0.0, 0.0), (9.0, 1.0), (3.5, 8.25)].map(|(x, y)| centroid + euclid::vec2(x, y));
            Painted { class: (index % 3) as u16, score: index as f32 / 500.0, centroid, ring: ring.to_vec() }
        })
        .collect();
    let [first, second] = [(), ()].map(|()| {
        let (folder, _tiles) = write(&cells, 4096);
        std::fs::read(folder.path().join("tiles.smt")).unwrap()
    });
    assert_eq!(first, second);
}
