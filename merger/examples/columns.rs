//! Prints the columns of both tables as `docs/output.md` has them.

use merger::{CellRow, RegionRow, columns_as_markdown};

fn main() {
    println!("{}\n{}", columns_as_markdown::<CellRow>(), columns_as_markdown::<RegionRow>());
}
