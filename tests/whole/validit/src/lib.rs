//! What openraft uses of the crate of this name: values that are checked when they are looked at. What has been checked is
//! checked again once it may have changed. Nothing of openraft's changes behind a shared reference.

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

pub trait Validate {
    fn validate(&self) -> Result<(), Box<dyn Error>>;
}

pub struct Valid<T> {
    inner: T,
    checked: AtomicBool,
}

impl<T: Validate> Valid<T> {
    pub const fn new(inner: T) -> Self {
        Self { inner, checked: AtomicBool::new(false) }
    }

    pub fn into_inner(self) -> T {
        self.inner
    }

    fn check(&self) {
        if self.checked.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.inner.validate() {
            panic!("invalid state: {error}");
        }
        self.checked.store(true, Ordering::Relaxed);
    }
}

impl<T: Validate> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.check();
        &self.inner
    }
}

impl<T: Validate> DerefMut for Valid<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.check();
        *self.checked.get_mut() = false;
        &mut self.inner
    }
}

impl<T: Validate + Clone> Clone for Valid<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T: Validate + Default> Default for Valid<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Validate + PartialEq> PartialEq for Valid<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Validate + Eq> Eq for Valid<T> {}

/// Also of what is not valid, to be able to look at it.
impl<T: Debug> Debug for Valid<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Display> Display for Valid<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// In a function that returns a `Result<_, Box<dyn Error>>`.
#[macro_export]
macro_rules! less_equal {
    ($one: expr, $other: expr) => {{
        let (one, other) = (&$one, &$other);
        match one <= other {
            true => {}
            false => {
                let (this, that) = (stringify!($one), stringify!($other));
                return Err(format!("expected: {this} ({one:?}) <= {that} ({other:?})").into());
            }
        }
    }};
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct AtMostFive(u64);

    impl Validate for AtMostFive {
        fn validate(&self) -> Result<(), Box<dyn Error>> {
            less_equal!(self.0, 5);
            Ok(())
        }
    }

    fn is_refused(look: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(look)).is_err()
    }

    #[test]
    fn what_is_not_valid_is_refused_with_the_next_access_after_each_change() {
        let mut value = Valid::new(AtMostFive(5));
        assert_eq!(value.0, 5);
        value.0 = 6;
        for _ in 0..2 {
            assert!(is_refused(|| assert_eq!(value.0, 6)));
        }
        assert!(is_refused(|| value.0 = 1), "nor may it be changed");
        assert!(is_refused(|| drop(value.clone())));
        assert!(is_refused(|| assert_eq!(Valid::new(AtMostFive(7)).0, 7)), "from the beginning");
    }
}
