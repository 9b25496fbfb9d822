//! What is billed by the piece rather than by the token: a small ordered map from classes to counts.

use serde::{Deserialize, Serialize};

fn is_zero(count: &u32) -> bool {
    *count == 0
}

macro_rules! pieces {
    ($($(#[$doc:meta])* $class:ident),+ $(,)?) => {
        /// How many pieces of each class one call consumed. As JSON a map of the classes that occur.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(default)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub struct Pieces {
            $($(#[$doc])* #[serde(skip_serializing_if = "is_zero")] pub $class: u32,)+
        }

        impl Pieces {
            /// How many classes there are.
            pub(crate) const CLASSES: usize = [$(stringify!($class)),+].len();

            /// Each class by name, and its count, in the order in which they are written.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
                [$((stringify!($class), self.$class)),+].into_iter()
            }

            /// The counts in that order.
            pub(crate) const fn counts(&self) -> [u32; Pieces::CLASSES] {
                [$(self.$class),+]
            }

            /// The count of the class of this name; `None` where no class is called so.
            pub fn get_mut(&mut self, class: &str) -> Option<&mut u32> {
                match class {
                    $(stringify!($class) => Some(&mut self.$class),)+
                    _ => None,
                }
            }

            /// The greater count of each class.
            pub(crate) fn most(self, other: Pieces) -> Pieces {
                Pieces { $($class: self.$class.max(other.$class)),+ }
            }

            /// Another call's pieces added; `None` where a class is more than can be counted.
            pub(crate) fn checked_add(self, other: Pieces) -> Option<Pieces> {
                Some(Pieces { $($class: self.$class.checked_add(other.$class)?),+ })
            }
        }
    };
}

pieces! {
    /// Searches of the user's own files (OpenAI's `file_search`).
    file_search,
    /// Sessions in which code was run.
    code_execution,
    /// Prompts that were grounded by a map.
    maps_search,
    /// Searches of posts (xAI's `x_search`).
    x_search,
    /// Searches of a ranking.
    rerank_search,
    /// Pages of documents that were read.
    page,
    /// Seconds of sound.
    second,
    /// Characters that were spoken.
    character,
    /// Pictures that were made.
    image,
    /// Requests with a small search context (Perplexity's request fee).
    request_low,
    /// Requests with a medium search context.
    request_medium,
    /// Requests with a large search context.
    request_high,
}

impl Pieces {
    /// No pieces.
    pub(crate) const NONE: Pieces = Pieces {
        file_search: 0,
        code_execution: 0,
        maps_search: 0,
        x_search: 0,
        rerank_search: 0,
        page: 0,
        second: 0,
        character: 0,
        image: 0,
        request_low: 0,
        request_medium: 0,
        request_high: 0,
    };

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Pieces::NONE
    }
}
