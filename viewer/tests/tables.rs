//! Tables as the merger writes them come back as the viewer shows them.
#![allow(clippy::unwrap_used)]

use merger::{
    Cell, ClassNames, Features, Ground, MaskFrame, StainOd, TableContext, id::MAX_ID, mask::Mask,
    stage_cells, write_cells,
};
use viewer::table;
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

fn cell(number: u32, outline: Option<Vec<Level0Point>>) -> Cell {
    let centroid =
        Level0Point::new(f64::from(number * 37 % 4000) + 0.25, f64::from(number * 91 % 3000) + 0.5);
    let half = euclid::vec2(6.0, 5.0);
    let score = Score::new(0.3 + number as f32 / 1000.0).unwrap();
    let bbox = Level0Box::new(centroid - half, centroid + half);
    Cell {
        centroid,
        outline: outline.map(Vec::into_boxed_slice),
        n_merged: 2,
        windows: vec![3, number],
        edge_flag: 8,
        ..Cell::new(MAX_ID - u64::from(number), ClassId((number % 2) as u16), score, bbox)
    }
}

fn context() -> TableContext {
    TableContext {
        slide_id: "s1".into(),
        mpp: Mpp::new(0.25).unwrap(),
        class_names: ClassNames::new(["tumour", "stroma"].map(String::from).to_vec()),
        provenance: Vec::new(),
    }
}

#[test]
fn cells_come_back_in_the_order_of_their_rows_and_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    let mut cells: Vec<Cell> = (0..500)
        .map(|number| {
            let plain = cell(number, None);
            let around =
                [(-6.0, -5.0), (6.0, -4.0), (1.0, 5.0)].map(|(x, y)| plain.centroid + euclid::vec2(x, y));
            cell(number, (number % 3 == 0).then(|| around.to_vec()))
        })
        .collect();
    let context = context();
    let names = context.class_names.as_slice();
    write_cells(&path, &mut cells, &context).unwrap();
    assert_eq!(table::class_names(&path).unwrap(), names);

    let mut row = 0;
    table::for_each_cell(&path, |seen| {
        let whole = table::row(&path, row).unwrap();
        row += 1;
        assert_eq!(whole["x_px"], seen.centroid.x);
        assert_eq!(whole["class_name"], names[usize::from(seen.class.0)].as_str());
        let cell = cells.iter().find(|cell| whole["cell_id"].as_u64() == Some(cell.id)).unwrap();
        assert_eq!((cell.centroid, cell.class, cell.score.get()), (seen.centroid, seen.class, seen.score));
        assert_eq!(seen.ring.len(), cell.outline.as_ref().map_or(4, |outline| outline.len()));
        assert_eq!(whole["windows"], serde_json::json!(cell.windows));
        assert_eq!(
            (&whole["seam_dist_um"], &whole["geometry"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        Ok(())
    })
    .unwrap();
    assert_eq!(row, 500);
    let message = table::row(&path, 500).unwrap_err().to_string();
    assert!(message.contains("it has no row 500"), "{message}");
    assert!(table::for_each_cell(folder.path(), |_| Ok(())).is_err());
}

/// Tissue everywhere.
fn ground() -> Ground {
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (16.0, 16.0),
        mpp: Mpp::new(0.25).unwrap(),
        slide_end: Level0Point::new(4_096.0, 3_200.0),
    };
    Ground::new(Mask::from_fn(256, 200, |_, _| true), frame)
}

/// What it does not know it shows under the column's name: readable, but no words for people.
#[test]
fn the_page_has_words_for_all_columns_of_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    let stains = Some(StainOd::HDab { hematoxylin: 0.5, dab: 0.75, ring: Some(0.125) });
    let mut cells: Vec<Cell> = (0..50).map(|number| Cell { stains, ..cell(number, None) }).collect();
    let features = Features { neighbours: Some(ground()), shape: true, texture: true, dab: true };
    let (_, staged) = stage_cells(folder.path(), &path, &mut cells, &context(), &features).unwrap();
    whole_file::put_in_place(vec![staged], Vec::new()).unwrap();

    let row = table::row(&path, 0).unwrap();
    let by_class: Vec<u64> = serde_json::from_value(row["n_by_class_50um"].clone()).unwrap();
    assert_eq!((by_class.len(), row["n_50um"].as_u64()), (2, Some(by_class.iter().sum())), "{row}");
    assert!(row["delaunay_degree"].as_u64().is_some() && row["dab_ring_od"] == 0.125, "{row}");
    let page = include_str!("../page/page.js");
    for column in row.as_object().unwrap().keys() {
        assert!(page.contains(&format!("{column:?}")), "{column}");
    }
}
