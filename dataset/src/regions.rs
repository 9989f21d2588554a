//! Reads regions back from a dataset, for pictures.

use std::path::Path;

use arrow_array::{
    RecordBatch,
    cast::AsArray as _,
    types::{Float64Type, UInt64Type},
};
use wsi_types::Level0Point;

use crate::{error::DatasetError, tables::Table};

/// What is needed of a region once it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRegion {
    /// As in the table.
    pub id: u64,
    /// What it is: `tissue`, `dense`, or a class.
    pub kind: String,
    /// Without holes.
    pub area_um2: f64,
    /// The outer ring, then holes, in level-0 px; closed, the first point not
    /// repeated.
    pub rings: Vec<Vec<Level0Point>>,
}

const TABLE: Table = Table("the regions table");
const COLUMNS: [&str; 4] = ["region_id", "kind", "area_um2", "geometry"];

/// All regions of a table, in the order of its rows.
///
/// # Errors
///
/// When the file cannot be read or is no regions table.
pub fn read_regions(path: &Path) -> Result<Vec<StoredRegion>, DatasetError> {
    let mut regions = Vec::new();
    TABLE.for_each_batch(path, COLUMNS, |batch| {
        regions.extend(regions_in(batch)?);
        Ok(())
    })?;
    Ok(regions)
}

fn regions_in(batch: &RecordBatch) -> Result<Vec<StoredRegion>, DatasetError> {
    let ids = TABLE.numbers::<UInt64Type>(batch, "region_id")?;
    let kinds = TABLE.typed("kind", TABLE.column(batch, "kind")?.as_string_opt::<i32>())?;
    let areas = TABLE.numbers::<Float64Type>(batch, "area_um2")?;
    let shapes = TABLE.typed("geometry", TABLE.column(batch, "geometry")?.as_binary_opt::<i32>())?;
    (0..batch.num_rows())
        .map(|row| {
            Ok(StoredRegion {
                id: ids.value(row),
                kind: kinds.value(row).to_owned(),
                area_um2: areas.value(row),
                rings: rings_of_wkb(shapes.value(row))
                    .map_err(|problem| TABLE.bad(format!("has a bad region in row {row}: {problem}")))?,
            })
        })
        .collect()
}

/// The rings of a little-endian WKB polygon, as our tables have them.
fn rings_of_wkb(bytes: &[u8]) -> Result<Vec<Vec<Level0Point>>, String> {
    const LITTLE_ENDIAN_POLYGON: [u8; 5] = [1, 3, 0, 0, 0];
    let rest = bytes.strip_prefix(&LITTLE_ENDIAN_POLYGON);
    let mut rest = rest.ok_or("the geometry is no little-endian WKB polygon")?;
    let count = take_u32(&mut rest)?;
    (0..count).map(|_| take_ring(&mut rest)).collect()
}

fn take_ring(rest: &mut &[u8]) -> Result<Vec<Level0Point>, String> {
    const POINT: usize = 16;
    let count = take_u32(rest)? as usize;
    if count > rest.len() / POINT {
        return Err(format!("a ring says it has {count} points, but only {} bytes follow", rest.len()));
    }
    let (points, after) = rest.split_at(count * POINT);
    *rest = after;
    let point =
        |bytes: &[[u8; 8]]| Level0Point::new(f64::from_le_bytes(bytes[0]), f64::from_le_bytes(bytes[1]));
    let mut ring: Vec<Level0Point> = points.as_chunks::<8>().0.chunks_exact(2).map(point).collect();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    Ok(ring)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, String> {
    let (bytes, after) = rest.split_first_chunk().ok_or("the geometry ends early")?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wkb(rings: &[&[(f64, f64)]]) -> Vec<u8> {
        let mut bytes = vec![1, 3, 0, 0, 0];
        bytes.extend((rings.len() as u32).to_le_bytes());
        for ring in rings {
            bytes.extend((ring.len() as u32).to_le_bytes());
            ring.iter().for_each(|(x, y)| bytes.extend([x.to_le_bytes(), y.to_le_bytes()].concat()));
        }
        bytes
    }

    #[test]
    fn rings_come_back_open() {
        let outer = [(0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 0.0)];
        let hole = [(5.0, 1.0), (6.0, 2.0), (6.0, 1.0), (5.0, 1.0)];
        let rings = rings_of_wkb(&wkb(&[&outer, &hole])).unwrap();
        assert_eq!(rings.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(rings[1][2], Level0Point::new(6.0, 1.0));
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        let whole = wkb(&[&[(0.0, 0.0), (8.0, 0.0), (8.0, 8.0)]]);
        for cut in 0..whole.len() {
            assert!(rings_of_wkb(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut many = whole;
        many[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        let message = rings_of_wkb(&many).unwrap_err();
        assert!(message.contains("says it has 4294967295 points"), "{message}");
    }
}
