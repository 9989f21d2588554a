//! Items in groups: each is alone until two groups are joined.

/// A disjoint-set forest, in which a group is named by its first member.
pub(crate) struct Groups(Vec<u32>);

impl Groups {
    /// `count` items, each alone.
    pub fn alone(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    /// The first member of the group of `p`; shortens the path to it.
    fn first(&mut self, mut p: u32) -> u32 {
        let Self(group) = self;
        while group[p as usize] != p {
            group[p as usize] = group[group[p as usize] as usize];
            p = group[p as usize];
        }
        p
    }

    /// Makes the groups of `a` and `b` one.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b) as usize] = a.min(b);
    }

    /// The first member of the group of each item.
    pub fn firsts(mut self) -> Vec<u32> {
        for p in 0..self.0.len() as u32 {
            self.0[p as usize] = self.first(p);
        }
        self.0
    }
}
