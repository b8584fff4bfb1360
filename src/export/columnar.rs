//! Tables as Parquet. A decimal column has the largest scale that the export needs of it, so that no value is rounded:
//! the journal is walked once for the scales and once for the rows.

use super::table::{Cell, Column, Kind, Type};
use super::{ExportError, Taker};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Digits of a decimal column: as many as 16 bytes hold.
const PRECISION: i32 = 38;
/// Rows that are held before they are written.
const GROUP_ROWS: usize = 65_536;

/// The scale of every decimal column, by table and place.
#[derive(Default)]
pub struct Scales(BTreeMap<(Kind, usize), u8>);

impl Taker for Scales {
    fn row(&mut self, kind: Kind, cells: &[Cell<'_>]) -> Result<(), ExportError> {
        for (at, cell) in cells.iter().enumerate() {
            if let Cell::Decimal(value) = cell {
                let scale = self.0.entry((kind, at)).or_default();
                *scale = value.scale.max(*scale);
            }
        }
        Ok(())
    }
}

/// Values of a column of the present group.
enum Values {
    Numbers(Vec<i64>),
    Flags(Vec<bool>),
    Texts(Vec<ByteArray>),
    Decimals(u8, Vec<FixedLenByteArray>),
}

struct Buffer {
    column: Column,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
    values: Values,
}

impl Buffer {
    fn new(column: Column, scale: u8) -> Self {
        let values = match column.1 {
            Type::Int | Type::Count => Values::Numbers(Vec::new()),
            Type::Flag => Values::Flags(Vec::new()),
            Type::Text => Values::Texts(Vec::new()),
            Type::Decimal => Values::Decimals(scale, Vec::new()),
        };
        Self { column, levels: Vec::new(), values }
    }

    /// The column as the file's schema says it.
    fn field(&self) -> ParquetResult<types::Type> {
        let (physical, logical) = match (&self.values, self.column.1) {
            (Values::Numbers(_), Type::Count) => (Physical::INT64, Some(LogicalType::integer(64, false))),
            (Values::Numbers(_), _) => (Physical::INT64, None),
            (Values::Flags(_), _) => (Physical::BOOLEAN, None),
            (Values::Texts(_), _) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            (Values::Decimals(scale, _), _) => {
                (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(i32::from(*scale), PRECISION)))
            }
        };
        let field = types::Type::primitive_type_builder(self.column.0, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        match self.values {
            Values::Decimals(scale, _) => {
                field.with_length(16).with_precision(PRECISION).with_scale(i32::from(scale)).build()
            }
            _ => field.build(),
        }
    }

    /// Takes a cell; false when it cannot be kept exactly.
    fn push(&mut self, cell: &Cell<'_>) -> bool {
        match (cell, &mut self.values) {
            (Cell::Null, _) => {
                self.levels.push(0);
                return true;
            }
            (Cell::Int(value), Values::Numbers(values)) => values.push(*value),
            // The logical type of the column says that the 64 bits are unsigned.
            (Cell::Count(value), Values::Numbers(values)) => values.push(*value as i64),
            (Cell::Flag(value), Values::Flags(values)) => values.push(*value),
            (Cell::Text(value), Values::Texts(values)) => values.push(ByteArray::from(value.as_ref())),
            (Cell::Decimal(value), Values::Decimals(scale, values)) => match value.at_scale(*scale) {
                Some(wide) => values.push(wide.to_be_bytes().to_vec().into()),
                None => return false,
            },
            _ => return false,
        }
        self.levels.push(1);
        true
    }

    fn write(&mut self, to: &mut SerializedColumnWriter<'_>) -> ParquetResult<()> {
        let levels = Some(self.levels.as_slice());
        match &mut self.values {
            Values::Numbers(values) => {
                to.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Flags(values) => {
                to.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Texts(values) => {
                to.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Decimals(_, values) => {
                to.typed::<FixedLenByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

struct Table {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    buffers: Vec<Buffer>,
    rows: usize,
}

impl Table {
    fn begin(path: PathBuf, kind: Kind, scales: &Scales) -> Result<Self, ExportError> {
        let scale = |at| scales.0.get(&(kind, at)).copied().unwrap_or(0);
        let buffers: Vec<Buffer> =
            kind.all_columns().enumerate().map(|(at, column)| Buffer::new(column, scale(at))).collect();
        let file = File::create_new(&path).map_err(|source| ExportError::write(&path, source))?;
        let begin = || {
            let fields = buffers.iter().map(|buffer| buffer.field().map(Arc::new));
            let schema = types::Type::group_type_builder(kind.name())
                .with_fields(fields.collect::<ParquetResult<_>>()?)
                .build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_created_by(format!("perpring {}", env!("CARGO_PKG_VERSION")))
                .build();
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        };
        let writer = begin().map_err(|why| failed(&path, &why))?;
        Ok(Self { path, writer, buffers, rows: 0 })
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let (writer, buffers) = (&mut self.writer, &mut self.buffers);
        let write = || {
            let mut group = writer.next_row_group()?;
            for buffer in buffers {
                let Some(mut column) = group.next_column()? else { break };
                buffer.write(&mut column)?;
                column.close()?;
            }
            group.close().map(|_| ())
        };
        write().map_err(|why| failed(&self.path, &why))
    }
}

fn failed(path: &Path, why: &ParquetError) -> ExportError {
    ExportError::Parquet { path: path.to_owned(), why: why.to_string() }
}

/// A file per table.
pub struct Tables(BTreeMap<Kind, Table>);

impl Tables {
    /// Begins the files in `folder`.
    pub fn begin(folder: &Path, kinds: &BTreeSet<Kind>, scales: &Scales) -> Result<Self, ExportError> {
        let table = |kind: &Kind| {
            let path = folder.join(format!("{}.parquet", kind.name()));
            Table::begin(path, *kind, scales).map(|table| (*kind, table))
        };
        Ok(Self(kinds.iter().map(table).collect::<Result<_, _>>()?))
    }

    /// Ends the files.
    pub fn finish(self) -> Result<(), ExportError> {
        self.0.into_values().try_for_each(|mut table| {
            table.flush()?;
            table.writer.close().map(|_| ()).map_err(|why| failed(&table.path, &why))
        })
    }
}

impl Taker for Tables {
    fn row(&mut self, kind: Kind, cells: &[Cell<'_>]) -> Result<(), ExportError> {
        let Some(table) = self.0.get_mut(&kind) else { return Ok(()) };
        for (buffer, cell) in table.buffers.iter_mut().zip(cells) {
            if !buffer.push(cell) {
                let seq = if let Some(Cell::Int(seq)) = cells.first() { *seq as u64 } else { 0 };
                let value = format!("{cell:?}");
                return Err(ExportError::Inexact { seq, table: kind.name(), column: buffer.column.0, value });
            }
        }
        table.rows += 1;
        if table.rows >= GROUP_ROWS { table.flush() } else { Ok(()) }
    }
}
