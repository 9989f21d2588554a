//! Prints the columns of the tables as `docs/output.md` has them.

use merger::{CellRow, PatchRow, RegionRow, columns_as_markdown};

fn main() {
    println!("{}\n{}", columns_as_markdown::<CellRow>(), columns_as_markdown::<RegionRow>());
    println!("{}", columns_as_markdown::<PatchRow>());
}
