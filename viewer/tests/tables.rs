//! Tables as the merger writes them come back as the viewer shows them.
#![allow(clippy::unwrap_used)]

use merger::{Cell, ClassNames, TableContext, id::MAX_ID, write_cells};
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
    let names = ["tumour", "stroma"].map(String::from).to_vec();
    let context = TableContext {
        slide_id: "s1".into(),
        mpp: Mpp::new(0.25).unwrap(),
        class_names: ClassNames::new(names.clone()),
        provenance: Vec::new(),
    };
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
