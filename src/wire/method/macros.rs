//! Turns the table of `table.rs` into types and data.

/// One row reads
///
/// ```text
/// 10 Declare<'a> QueueDeclare "queue.declare" -> [DeclareOk] content [u16] { field: Type = "doc", .. } []
/// ```
///
/// method number, struct, variant of `Method`, name, answers (empty: not synchronous), `content` or
/// `plain`, the types of reserved fields in front, the fields, the types of reserved fields behind.
/// The Rust type of a field decides its type on the wire (see `Field` in `octets.rs`).
macro_rules! methods {
    ($(
        $(#[$class_doc:meta])*
        $class:ident = $class_id:literal {
            $(
                $(#[$doc:meta])*
                $id:literal $Struct:ident $(<$lt:lifetime>)? $Variant:ident $name:literal
                    -> [$($Response:ident),*] $content:ident
                    [$($before:ty),*] { $($field:ident : $type:ty = $field_doc:literal),* $(,)? } [$($after:ty),*]
            )*
        }
    )*) => {
        $(
            $(#[$class_doc])*
            pub mod $class {
                use super::*;

                $(
                    method_struct! { $(#[$doc])* $Struct $(<$lt>)? { $($field : $type = $field_doc),* } }

                    impl $(<$lt>)? sealed::Sealed for $Struct $(<$lt>)? {}

                    impl $(<$lt>)? MethodFrame for $Struct $(<$lt>)? {
                        const ID: MethodId = MethodId { class: $class_id, method: $id };
                        const NAME: &'static str = $name;
                        const CONTENT: bool = has_content!($content);

                        #[inline(always)]
                        fn arguments_len(&self) -> usize {
                            measured(|_meter| {
                                $(<$before>::default().measure(_meter);)*
                                $(self.$field.measure(_meter);)*
                                $(<$after>::default().measure(_meter);)*
                            })
                        }

                        #[inline]
                        fn encode_arguments(&self, buf: &mut BytesMut) {
                            append_arguments(self, buf);
                        }

                        #[inline(always)]
                        fn write_arguments(&self, out: &mut Writer<'_>) {
                            $(<$before>::default().write(out);)*
                            $(self.$field.write(out);)*
                            $(<$after>::default().write(out);)*
                            out.flush_bits();
                        }
                    }

                    impl $(<$lt>)? $Struct $(<$lt>)? {
                        pub(super) const FIELDS: &'static [FieldSpec] = &[
                            $(FieldSpec { name: None, kind: <$before as Field<'_>>::KIND },)*
                            $(FieldSpec {
                                name: Some(stringify!($field)),
                                kind: <$type as Field<'_>>::KIND,
                            },)*
                            $(FieldSpec { name: None, kind: <$after as Field<'_>>::KIND },)*
                        ];
                    }
                )*
            }
        )*

        /// Any method, its strings and tables borrowed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method<'a> {
            $($(
                #[doc = concat!("`", $name, "`")]
                $Variant($class::$Struct $(<$lt>)?),
            )*)*
        }

        impl Method<'_> {
            /// Class and method number.
            pub const fn id(&self) -> MethodId {
                match self {
                    $($(Self::$Variant(_) => MethodId { class: $class_id, method: $id },)*)*
                }
            }

            /// The name, as `queue.declare`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $($(Self::$Variant(_) => $name,)*)*
                }
            }

            /// Whether a content header and body follow.
            pub const fn has_content(&self) -> bool {
                match self {
                    $($(Self::$Variant(_) => has_content!($content),)*)*
                }
            }

            /// The length of the encoded arguments, in bytes.
            pub fn arguments_len(&self) -> usize {
                match self {
                    $($(Self::$Variant(method) => method.arguments_len(),)*)*
                }
            }

            /// Appends the arguments, without class and method number.
            pub fn encode_arguments(&self, buf: &mut BytesMut) {
                match self {
                    $($(Self::$Variant(method) => method.encode_arguments(buf),)*)*
                }
            }
        }

        $($(
            impl<'a> From<$class::$Struct $(<$lt>)?> for Method<'a> {
                #[inline]
                fn from(method: $class::$Struct $(<$lt>)?) -> Self {
                    Self::$Variant(method)
                }
            }
        )*)*

        /// Every method: the table as data, for tests and documentation.
        pub const METHODS: &[MethodSpec] = &[
            $($(
                MethodSpec {
                    id: $class::$Struct::ID,
                    name: $name,
                    content: has_content!($content),
                    responses: &[$($class::$Response::ID),*],
                    fields: $class::$Struct::FIELDS,
                },
            )*)*
        ];

        /// The name of a method, if the table has it.
        pub(super) const fn name(id: MethodId) -> Option<&'static str> {
            match (id.class, id.method) {
                $($(($class_id, $id) => Some($name),)*)*
                _ => None,
            }
        }

        /// Reads the arguments of a method; `None` when the table does not have it.
        #[inline]
        pub(super) fn read<'a>(
            id: MethodId,
            from: &mut Reader<'a>,
        ) -> Result<Option<Method<'a>>, Short> {
            Ok(Some(match (id.class, id.method) {
                $($(
                    ($class_id, $id) => {
                        $(<$before as Field<'_>>::read(from)?;)*
                        let method = $class::$Struct { $($field: Field::read(from)?),* };
                        $(<$after as Field<'_>>::read(from)?;)*
                        Method::$Variant(method)
                    }
                )*)*
                _ => return Ok(None),
            }))
        }
    };
}

/// The struct of one method; one without fields is a unit.
macro_rules! method_struct {
    ($(#[$doc:meta])* $Struct:ident {}) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $Struct;
    };
    ($(#[$doc:meta])* $Struct:ident $(<$lt:lifetime>)? { $($field:ident : $type:ty = $field_doc:literal),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $Struct $(<$lt>)? {
            $(#[doc = $field_doc] pub $field: $type,)*
        }
    };
}

macro_rules! has_content {
    (content) => {
        true
    };
    (plain) => {
        false
    };
}
