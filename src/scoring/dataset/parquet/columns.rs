//! Values of a batch's column as the kind that is asked for.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, Float64Array, LargeListArray, LargeStringArray, UInt64Array};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};

use super::super::number::{as_written, as_written_half};
use super::super::{Kind, number_text};
use super::{Column, Vectors};

const SECONDS_PER_DAY: f64 = 86_400.0;

pub(super) fn read(found: &ArrayRef, kind: Kind) -> Result<Column, ArrowError> {
    Ok(match (kind, found.data_type()) {
        (Kind::Number, _) => Column::Numbers(numbers(found)?),
        (Kind::Vector, _) => Column::Vectors(vectors(found)?),
        (_, DataType::Binary) => Column::Bytes(found.as_binary::<i32>().clone()),
        (Kind::Group, kind) if !kind.is_binary() => Column::Names(group_names(found)?),
        (Kind::Length, kind) if kind.is_list() => Column::Lengths(lengths(found)?),
        _ => Column::Bytes(cast(found, &DataType::Binary)?.as_binary::<i32>().clone()),
    })
}

/// Numbers; what is of less than double precision as the shortest decimal that it may have been written as, and times as seconds
/// since the beginning of 1970 (UTC).
fn numbers(found: &ArrayRef) -> Result<Float64Array, ArrowError> {
    Ok(match found.data_type() {
        DataType::Float32 => found.as_primitive::<Float32Type>().unary(as_written),
        DataType::Float16 => {
            type Half = <Float16Type as ArrowPrimitiveType>::Native;
            let nearest = |number: f32| Half::from_f32(number).to_f32();
            let halves = found.as_primitive::<Float16Type>();
            halves.unary(|half| as_written_half(half.to_f32(), nearest))
        }
        DataType::Date32 => found
            .as_primitive::<Date32Type>()
            .unary(|days| f64::from(days) * SECONDS_PER_DAY),
        DataType::Date64 => found.as_primitive::<Date64Type>().unary(|ms| ms as f64 / 1e3),
        DataType::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1.0,
                TimeUnit::Millisecond => 1e3,
                TimeUnit::Microsecond => 1e6,
                TimeUnit::Nanosecond => 1e9,
            };
            let ticks = cast(found, &DataType::Int64)?;
            let ticks = ticks.as_primitive::<Int64Type>();
            ticks.unary(|ticks| ticks as f64 / per_second)
        }
        _ => cast(found, &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
    })
}

/// Names of groups: whole numbers without a point whatever their type, `NaN` as a missing value.
fn group_names(found: &ArrayRef) -> Result<LargeStringArray, ArrowError> {
    let kind = found.data_type();
    if kind.is_floating() {
        let numbers = numbers(found)?;
        let name = |number: f64| (!number.is_nan()).then(|| number_text(number));
        return Ok(numbers.iter().map(|number| number.and_then(name)).collect());
    }
    let names = cast(found, &DataType::LargeUtf8)?;
    let names = names.as_string::<i64>();
    if !kind.is_decimal() {
        return Ok(names.clone());
    }
    let short = |name: &str| match name.contains('.') {
        true => name.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => name.to_owned(),
    };
    Ok(names.iter().map(|name| name.map(short)).collect())
}

/// Lists of any kind as the general one.
fn lists(found: &ArrayRef) -> Result<LargeListArray, ArrowError> {
    let item = match found.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Arc::clone(item),
        _ => return Err(ArrowError::CastError("it is no list that can be counted".to_owned())),
    };
    Ok(cast(found, &DataType::LargeList(item))?.as_list::<i64>().clone())
}

/// Lists of numbers, NaN in place of items that are null. Single precision is taken as it is: an embedding was computed, and nobody
/// has written its digits.
fn vectors(found: &ArrayRef) -> Result<Vectors, ArrowError> {
    let lists = lists(found)?;
    let items = cast(lists.values(), &DataType::Float64)?;
    let items = items.as_primitive::<Float64Type>();
    let numbers = if items.null_count() == 0 {
        items.values().to_vec()
    } else {
        items.iter().map(|item| item.unwrap_or(f64::NAN)).collect()
    };
    Ok(Vectors {
        offsets: lists.offsets().clone(),
        nulls: lists.nulls().cloned(),
        numbers,
    })
}

/// How many items each list has.
fn lengths(found: &ArrayRef) -> Result<UInt64Array, ArrowError> {
    let lists = lists(found)?;
    let lengths = lists.offsets().lengths().map(|length| length as u64);
    Ok(UInt64Array::new(
        lengths.collect::<Vec<_>>().into(),
        lists.nulls().cloned(),
    ))
}
