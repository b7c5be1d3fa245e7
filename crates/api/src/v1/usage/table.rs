//! Usage as a table: the columns once, the two formats from them.

use std::fmt::Write as _;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use stint_wire::native::Usage;
use stint_wire::time::Time;

/// One column: its name and how it is read from a line.
struct Column {
    name: &'static str,
    cell: Cell,
}

enum Cell {
    When(fn(&Usage) -> Time),
    Text(fn(&Usage) -> &str),
    Count(fn(&Usage) -> u64),
    Number(fn(&Usage) -> f64),
}

const COLUMNS: &[Column] = &[
    Column { name: "start", cell: Cell::When(|usage| usage.start) },
    Column { name: "end", cell: Cell::When(|usage| usage.end) },
    Column { name: "account", cell: Cell::Text(|usage| &usage.account) },
    Column { name: "function", cell: Cell::Text(|usage| &usage.function) },
    Column { name: "invocations", cell: Cell::Count(|usage| usage.invocations) },
    Column { name: "activeSeconds", cell: Cell::Number(|usage| usage.active_seconds) },
    Column { name: "idleSeconds", cell: Cell::Number(|usage| usage.idle_seconds) },
    Column { name: "vcpuSeconds", cell: Cell::Number(|usage| usage.vcpu_seconds) },
    Column { name: "memoryGbSeconds", cell: Cell::Number(|usage| usage.memory_gb_seconds) },
    Column {
        name: "idleMemoryGbSeconds",
        cell: Cell::Number(|usage| usage.idle_memory_gb_seconds),
    },
    Column { name: "diskGbSeconds", cell: Cell::Number(|usage| usage.disk_gb_seconds) },
    Column { name: "cpuUsedSeconds", cell: Cell::Number(|usage| usage.cpu_used_seconds) },
    Column { name: "keptSeconds", cell: Cell::Number(|usage| usage.kept_seconds) },
    Column { name: "keptVcpuSeconds", cell: Cell::Number(|usage| usage.kept_vcpu_seconds) },
    Column {
        name: "keptMemoryGbSeconds",
        cell: Cell::Number(|usage| usage.kept_memory_gb_seconds),
    },
    Column { name: "keptDiskGbSeconds", cell: Cell::Number(|usage| usage.kept_disk_gb_seconds) },
    Column { name: "units", cell: Cell::Number(|usage| usage.units) },
];

/// No field holds a comma or a quote: names are letters, digits, `_` and `-`.
pub(super) fn csv(rows: &[Usage]) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let mut text = names.join(",");
    text.push('\n');
    for row in rows {
        for (place, column) in COLUMNS.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            let written = match &column.cell {
                Cell::When(read) => write!(text, "{}", read(row)),
                Cell::Text(read) => write!(text, "{}", read(row)),
                Cell::Count(read) => write!(text, "{}", read(row)),
                Cell::Number(read) => write!(text, "{}", read(row)),
            };
            written.expect("a string takes what is written");
        }
        text.push('\n');
    }
    text
}

/// One row group, no compression: a table of a few thousand lines.
pub(super) fn parquet(rows: &[Usage]) -> Result<Vec<u8>, ParquetError> {
    let mut fields = Vec::new();
    for column in COLUMNS {
        fields.push(Arc::new(field(column)?));
    }
    let schema = Arc::new(Type::group_type_builder("usage").with_fields(fields).build()?);
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = writer.next_row_group()?;
    for column in COLUMNS {
        let to = group.next_column()?.expect("one writer for each column");
        write_column(to, column, rows)?;
    }
    group.close()?;
    writer.into_inner()
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.cell {
        Cell::When(_) => {
            let unit = TimeUnit::MICROS;
            (Physical::INT64, Some(LogicalType::timestamp(true, unit)))
        }
        Cell::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Cell::Count(_) => (Physical::INT64, None),
        Cell::Number(_) => (Physical::DOUBLE, None),
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
        .build()
}

fn write_column(
    mut to: SerializedColumnWriter<'_>,
    column: &Column,
    rows: &[Usage],
) -> Result<(), ParquetError> {
    match &column.cell {
        Cell::When(read) => {
            let values: Vec<i64> = rows.iter().map(|row| read(row).0.micros()).collect();
            to.typed::<Int64Type>().write_batch(&values, None, None)?;
        }
        Cell::Text(read) => {
            let values: Vec<ByteArray> = rows.iter().map(|row| read(row).into()).collect();
            to.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        }
        Cell::Count(read) => {
            let count = |row: &Usage| i64::try_from(read(row)).unwrap_or(i64::MAX);
            let values: Vec<i64> = rows.iter().map(count).collect();
            to.typed::<Int64Type>().write_batch(&values, None, None)?;
        }
        Cell::Number(read) => {
            let values: Vec<f64> = rows.iter().map(read).collect();
            to.typed::<DoubleType>().write_batch(&values, None, None)?;
        }
    }
    to.close()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    use stint_model::time::Timestamp;

    use super::*;

    fn row() -> Usage {
        Usage {
            start: Time(Timestamp::from_millis(1_728_000_000_000)),
            end: Time(Timestamp::from_millis(1_728_003_600_000)),
            account: "7".into(),
            function: "f".into(),
            invocations: 2,
            active_seconds: 1.5,
            idle_seconds: 0.0,
            vcpu_seconds: 0.75,
            memory_gb_seconds: 3.0,
            idle_memory_gb_seconds: 0.0,
            disk_gb_seconds: 0.0,
            cpu_used_seconds: 0.1,
            kept_seconds: 0.0,
            kept_vcpu_seconds: 0.0,
            kept_memory_gb_seconds: 0.0,
            kept_disk_gb_seconds: 0.0,
            units: 1.215,
        }
    }

    #[test]
    fn a_line_has_a_cell_for_each_column() {
        let text = csv(&[row()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].split(',').count(), COLUMNS.len());
        assert!(lines[1].ends_with(",7,f,2,1.5,0,0.75,3,0,0,0.1,0,0,0,0,1.215"), "{}", lines[1]);
    }

    #[test]
    fn parquet_is_read_back() {
        let body = parquet(&[row(), Usage { invocations: 9, ..row() }]).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(body)).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].get_string(3).unwrap(), "f");
        assert_eq!(rows[1].get_long(4).unwrap(), 9);
        assert!((rows[0].get_double(16).unwrap() - 1.215).abs() < 1e-9);
        assert_eq!(rows[0].get_timestamp_micros(0).unwrap(), 1_728_000_000_000_000);
        assert!(parquet(&[]).unwrap().ends_with(b"PAR1"), "no lines are a table too");
    }
}
