//! Any value, read. The only code here that recurs: one level for each list, map, array and descriptor.

use super::{DecodeError, Decoder};
use crate::value::{Symbol, Value};

impl Decoder<'_> {
    /// Any value.
    pub(crate) fn value(&mut self) -> Result<Value, DecodeError> {
        let constructor = self.byte()?;
        self.value_of(constructor)
    }

    /// What follows a constructor.
    pub(super) fn value_of(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        match constructor {
            0x00 => self.nested(Self::described_value, constructor),
            // A level like any list: in an array it is written in its long form, and has to be read again.
            0x45 => self.nested(|_, _| Ok(Value::List(Vec::new())), constructor),
            0xc0 | 0xd0 => self.nested(Self::list_value, constructor),
            0xc1 | 0xd1 => self.nested(Self::map_value, constructor),
            0xe0 | 0xf0 => self.nested(Self::array_value, constructor),
            _ if constructor >= 0xa0 => self.variable_value(constructor),
            _ => self.fixed_value(constructor),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self, u8) -> Result<Value, DecodeError>,
        constructor: u8,
    ) -> Result<Value, DecodeError> {
        self.descend(1)?;
        let value = read(self, constructor)?;
        self.ascend(1);
        Ok(value)
    }

    fn described_value(&mut self, _: u8) -> Result<Value, DecodeError> {
        self.spend(2)?;
        let descriptor = self.descriptor_value()?;
        Ok(Value::Described(Box::new((descriptor, self.value()?))))
    }

    fn descriptor_value(&mut self) -> Result<Value, DecodeError> {
        let constructor = self.byte()?;
        self.descriptor_of(constructor)
    }

    /// Numbers and words are what the specification uses; it reserves other types. Those with more values in them are
    /// not taken, so that descriptors do not nest.
    pub(super) fn descriptor_of(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        match constructor {
            0x00 | 0x45 | 0xc0.. => Err(DecodeError::Type("descriptor")),
            0xa0.. => self.variable_value(constructor),
            _ => self.fixed_value(constructor),
        }
    }

    fn list_value(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        let compound = self.open_with(constructor)?;
        self.spend(compound.count)?;
        let mut values = Vec::with_capacity(compound.count);
        for _ in 0..compound.count {
            values.push(self.value()?);
        }
        self.close(&compound, "list")?;
        Ok(Value::List(values))
    }

    fn map_value(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        let compound = self.open_with(constructor)?;
        if compound.count % 2 == 1 {
            return Err(DecodeError::Invalid("map"));
        }
        self.spend(compound.count)?;
        let mut pairs = Vec::with_capacity(compound.count / 2);
        for _ in 0..compound.count / 2 {
            let key = self.value()?;
            pairs.push((key, self.value()?));
        }
        self.close(&compound, "map")?;
        Ok(Value::Map(pairs))
    }

    /// All elements have one constructor, with any descriptors before it. Elements may have no bytes at all: then the
    /// bound of values alone holds their count.
    fn array_value(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        let compound = self.open(constructor)?;
        let (descriptors, constructor) = self.element()?;
        self.descend(descriptors.len())?;
        self.hold(compound.count, least_bytes(constructor))?;
        // A word before the elements is copied for each of them.
        let weight = 1 + descriptors.iter().map(|descriptor| 2 + text_bytes(descriptor) / 32).sum::<usize>();
        self.spend(compound.count.saturating_mul(weight))?;
        let mut values = Vec::with_capacity(compound.count);
        for _ in 0..compound.count {
            let value = self.value_of(constructor)?;
            values.push(
                descriptors
                    .iter()
                    .rev()
                    .fold(value, |value, descriptor| Value::Described(Box::new((descriptor.clone(), value)))),
            );
        }
        self.ascend(descriptors.len());
        self.close(&compound, "array")?;
        Ok(Value::Array(values))
    }

    fn element(&mut self) -> Result<(Vec<Value>, u8), DecodeError> {
        let mut descriptors = Vec::new();
        loop {
            match self.byte()? {
                0x00 => {
                    self.descend(descriptors.len() + 1)?;
                    self.ascend(descriptors.len() + 1);
                    self.spend(1)?;
                    descriptors.push(self.descriptor_value()?);
                }
                constructor => return Ok((descriptors, constructor)),
            }
        }
    }

    fn variable_value(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        Ok(match constructor {
            0xa0 | 0xb0 => Value::Binary(self.binary(constructor)?),
            0xa1 | 0xb1 => Value::String(self.text(constructor, "string")?.to_owned()),
            0xa3 | 0xb3 => Value::Symbol(Symbol::from(self.text(constructor, "symbol")?.to_owned())),
            _ => return Err(DecodeError::Code(constructor)),
        })
    }

    fn fixed_value(&mut self, constructor: u8) -> Result<Value, DecodeError> {
        Ok(match constructor {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x56 => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(DecodeError::Invalid("boolean")),
            },
            0x50 => Value::Ubyte(self.byte()?),
            0x60 => Value::Ushort(u16::from_be_bytes(self.fixed()?)),
            0x43 => Value::Uint(0),
            0x52 => Value::Uint(self.byte()?.into()),
            0x70 => Value::Uint(u32::from_be_bytes(self.fixed()?)),
            0x44 => Value::Ulong(0),
            0x53 => Value::Ulong(self.byte()?.into()),
            0x80 => Value::Ulong(u64::from_be_bytes(self.fixed()?)),
            0x51 => Value::Byte(i8::from_be_bytes(self.fixed()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.fixed()?)),
            0x54 => Value::Int(i8::from_be_bytes(self.fixed()?).into()),
            0x71 => Value::Int(i32::from_be_bytes(self.fixed()?)),
            0x55 => Value::Long(i8::from_be_bytes(self.fixed()?).into()),
            0x81 => Value::Long(i64::from_be_bytes(self.fixed()?)),
            0x72 => Value::Float(f32::from_be_bytes(self.fixed()?)),
            0x82 => Value::Double(f64::from_be_bytes(self.fixed()?)),
            0x74 => Value::Decimal32(self.fixed()?),
            0x84 => Value::Decimal64(self.fixed()?),
            0x94 => Value::Decimal128(self.fixed()?),
            0x73 => {
                let code = u32::from_be_bytes(self.fixed()?);
                Value::Char(char::from_u32(code).ok_or(DecodeError::Invalid("char"))?)
            }
            0x83 => Value::Timestamp(i64::from_be_bytes(self.fixed()?)),
            0x98 => Value::Uuid(self.fixed()?),
            _ => return Err(DecodeError::Code(constructor)),
        })
    }
}

fn text_bytes(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

/// What an element takes at least: its bytes, or its size, or size and count.
fn least_bytes(constructor: u8) -> usize {
    match constructor >> 4 {
        0x5 | 0xa => 1,
        0x6 | 0xc | 0xe => 2,
        0x7 | 0xb => 4,
        0x8 | 0xd | 0xf => 8,
        0x9 => 16,
        _ => 0,
    }
}
