//! Which types of columns are read, and a schema that has texts as bytes.

use std::sync::Arc;

use arrow_schema::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::Result;
use parquet::file::metadata::{FileMetaData, ParquetMetaData};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::super::{Field, Kind, ReadError};

/// Refuses a column of a type that has no value of the field's kind.
pub(super) fn check_type(field: &Field, found: &DataType) -> std::result::Result<(), ReadError> {
    let value = match found {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    let text = value.is_string() || value.is_binary();
    let number = value.is_numeric() || *value == DataType::Boolean;
    let list = value.is_list();
    let vector = matches!(
        value,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) if item.data_type().is_numeric()
    );
    let time = matches!(value, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let (suitable, wanted) = match field.kind {
        Kind::Number => (number || time, "a column of numbers, booleans, dates or timestamps"),
        Kind::Text => (text, "a text column"),
        Kind::Length => (text || list, "a column of texts or lists"),
        Kind::Vector => (vector, "a column of lists of numbers"),
        Kind::Group => (text || number, "a column of texts, numbers or booleans"),
    };
    if suitable {
        return Ok(());
    }
    Err(ReadError::Column(format!(
        "{} names column `{}`, which has type {found}; it needs {wanted}",
        field.asked_by, field.column
    )))
}

/// The same file with the columns at `places`, where they are texts, as plain bytes: a text that is no UTF-8 would otherwise
/// cost the whole file.
pub(super) fn without_text(metadata: &ArrowReaderMetadata, places: &[usize]) -> Result<ArrowReaderMetadata> {
    let file = metadata.metadata().file_metadata();
    let root = file.schema_descr().root_schema();
    let mut fields = root.get_fields().to_vec();
    for place in places {
        if let Some(field) = fields.get_mut(*place)
            && is_bytes(field)
        {
            *field = Arc::new(as_bytes(field)?);
        }
    }
    let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        None,
        None,
        Arc::new(SchemaDescriptor::new(Arc::new(root))),
        None,
    );
    let metadata = ParquetMetaData::new(file, metadata.metadata().row_groups().to_vec());
    ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
}

fn is_bytes(field: &Type) -> bool {
    let decimal = matches!(
        field.get_basic_info().logical_type_ref(),
        Some(LogicalType::Decimal { .. })
    );
    field.is_primitive()
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && !decimal
        && field.get_basic_info().converted_type() != parquet::basic::ConvertedType::DECIMAL
}

fn as_bytes(field: &Type) -> Result<Type> {
    let info = field.get_basic_info();
    let repetition = if info.has_repetition() {
        info.repetition()
    } else {
        Repetition::OPTIONAL
    };
    Type::primitive_type_builder(field.name(), Physical::BYTE_ARRAY)
        .with_repetition(repetition)
        .with_id(info.has_id().then(|| info.id()))
        .build()
}
