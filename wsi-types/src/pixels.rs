//! Pixels in memory.

/// One colour, red first.
pub type Rgb = [u8; 3];

/// `height` × `width` × 3 bytes, row by row, red first. Made to be reused:
/// [`RgbBuffer::reset`] keeps the allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RgbBuffer {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl RgbBuffer {
    /// A buffer of one colour.
    #[must_use]
    pub fn filled(width: usize, height: usize, colour: Rgb) -> Self {
        let mut buffer = Self::default();
        buffer.fill(width, height, colour);
        buffer
    }

    /// Takes over `bytes`; `None` when their number is not `width × height × 3`.
    #[must_use]
    pub fn from_bytes(width: usize, height: usize, bytes: Vec<u8>) -> Option<Self> {
        let expected = width.checked_mul(height)?.checked_mul(3)?;
        (bytes.len() == expected).then_some(Self { width, height, bytes })
    }

    /// Takes a new size. Old pixels stay in unspecified places: write all of
    /// them, or use [`RgbBuffer::fill`].
    pub fn reset(&mut self, width: usize, height: usize) {
        self.width = width;
        self.height = height;
        self.bytes.resize(width * height * 3, 0);
    }

    /// Takes a new size, every pixel of one colour.
    pub fn fill(&mut self, width: usize, height: usize, colour: Rgb) {
        self.reset(width, height);
        for pixel in self.bytes.as_chunks_mut::<3>().0 {
            *pixel = colour;
        }
    }

    /// Width in px.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in px.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes, row by row.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, row by row, for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The bytes of one row.
    ///
    /// # Panics
    ///
    /// When `y` is not below the height.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u8] {
        &self.bytes[y * self.width * 3..][..self.width * 3]
    }

    /// The bytes of one row, for writing.
    ///
    /// # Panics
    ///
    /// When `y` is not below the height.
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        &mut self.bytes[y * self.width * 3..][..self.width * 3]
    }

    /// One pixel.
    ///
    /// # Panics
    ///
    /// When it is outside the buffer.
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> Rgb {
        self.row(y).as_chunks::<3>().0[x]
    }

    /// The bytes, for callers who outlive the buffer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
