//! Numbered places that are used again, with a generation, so that a number that was kept too long names nothing.

/// Places for values. As large as the most that were ever in use at once.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Index and generation of the place that the value was given.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("links and sessions are bounded far below this")
        });
        let place = &mut self.places[index as usize];
        place.1 = Some(value);
        (index, place.0)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        let value = place.1.take()?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.1.as_mut()
    }

    /// The generation of what is there now.
    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.places.get(index as usize).map_or(0, |place| place.0)
    }

    pub(crate) fn holds(&self, index: u32, generation: u32) -> bool {
        self.places.get(index as usize).is_some_and(|place| place.0 == generation && place.1.is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn indices(&self) -> Vec<u32> {
        let used = |(index, place): (usize, &(u32, Option<T>))| place.1.as_ref().map(|_| index);
        let used = self.places.iter().enumerate().filter_map(used);
        used.map(|index| u32::try_from(index).expect("inserted as one")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_kept_too_long_names_nothing() {
        let mut slab = Slab::default();
        let (index, first) = slab.insert("a");
        assert!(slab.holds(index, first));
        assert_eq!(slab.remove(index), Some("a"));
        assert!(!slab.holds(index, first));
        let (again, second) = slab.insert("b");
        assert_eq!(again, index, "places are used again");
        assert!(!slab.holds(index, first) && slab.holds(index, second));
        assert_eq!((slab.len(), slab.indices()), (1, vec![index]));
    }
}
