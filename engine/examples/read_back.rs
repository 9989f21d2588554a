//! Reads a dataset: `cargo run --release --example read_back -- OUT`.

use std::{error::Error, path::Path};

use dataset::{Dataset, read_cells, read_regions};

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("give the folder of a dataset")?;
    run(Path::new(&out)).map(|_| ())
}

/// Prints the facts of each account and of its tables; returns the number of cells.
pub fn run(out: &Path) -> Result<usize, Box<dyn Error>> {
    let dataset = Dataset::at(out);
    let mut all = 0;
    for account in dataset.read_accounts()? {
        let cells = read_cells(&dataset.cells(&account.slide))?;
        let regions = read_regions(&dataset.regions(&account.slide))?;
        println!(
            "{}: {:?}, {} cells, {} regions",
            account.slide,
            account.outcome,
            cells.len(),
            regions.len()
        );
        if let Some(cell) = cells.first() {
            println!("the first is {} at {:?}, score {}", cell.class_name, cell.centroid, cell.score);
        }
        all += cells.len();
    }
    Ok(all)
}
