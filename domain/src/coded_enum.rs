//! Enums whose variants have a code. Variants, list and codes are one declaration, so that a new variant is in all of
//! them.

/// Declares an enum of unit variants, each with its code: the text that is stored, sent and documented.
///
/// `ALL` and `CODES` have the variants and codes in the order of the declaration.
macro_rules! coded_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$about:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$about])* $variant,)+
        }

        impl $name {
            /// The codes of all variants, in the order of the declaration.
            pub const CODES: [&'static str; [$($code),+].len()] = [$($code),+];

            /// All variants, in the order of the declaration.
            pub const ALL: [Self; Self::CODES.len()] = [$(Self::$variant),+];

            /// The code: the text that is stored, sent and documented.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The variant with this code. `None`: no variant has it.
            #[must_use]
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|variant| variant.code() == code)
            }
        }
    };
}

pub(crate) use coded_enum;
