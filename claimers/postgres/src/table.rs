use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// The table that the leases are in: `name` or `schema.name`, exactly as the database has it.
///
/// Case counts, as of an identifier in double quotes. Without a schema it is looked up, and made,
/// on the `search_path` of the user: all the candidates must arrive at the same one.
///
/// ```
/// use tenure_postgres::TableName;
///
/// let table: TableName = "tenure.lease".parse()?;
/// assert_eq!(table.to_string(), "tenure.lease");
/// assert_eq!(TableName::default().to_string(), "tenure_lease");
/// assert!("one.two.three".parse::<TableName>().is_err());
/// # Ok::<(), tenure_postgres::TableNameError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TableName {
    schema: Option<String>,
    name: String,
}

impl TableName {
    /// The greatest length of a table's or a schema's name, in bytes.
    pub const MAX_LEN: usize = 63;

    /// The name as SQL has it: each part in double quotes, whatever is in it.
    pub(crate) fn quoted(&self) -> String {
        let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }
}

impl Default for TableName {
    /// `tenure_lease`.
    fn default() -> TableName {
        TableName { schema: None, name: "tenure_lease".to_owned() }
    }
}

impl FromStr for TableName {
    type Err = TableNameError;

    /// Parses `name` or `schema.name`. A dot parts the two; it cannot be in either.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the name.
    fn from_str(text: &str) -> Result<TableName, TableNameError> {
        let refuse = |reason| TableNameError { name: text.to_owned(), reason };
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if name.contains('.') {
            return Err(refuse("has more than one dot"));
        }
        for part in schema.into_iter().chain([name]) {
            if part.is_empty() {
                return Err(refuse("has an empty part"));
            }
            if part.len() > TableName::MAX_LEN {
                return Err(refuse("has a part of more than 63 bytes"));
            }
            if part.chars().any(char::is_control) {
                return Err(refuse("has a control character"));
            }
        }
        Ok(TableName { schema: schema.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(formatter, "{schema}.{}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// A text is not the name of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableNameError {
    name: String,
    reason: &'static str,
}

impl fmt::Display for TableNameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} cannot be a table's name: it {}", self.name, self.reason)
    }
}

impl Error for TableNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_name_stays_in_its_quotes() {
        let quoted = |text: &str| text.parse::<TableName>().unwrap().quoted();
        assert_eq!(quoted("tenure_lease"), "\"tenure_lease\"");
        assert_eq!(quoted("my schema.Lease"), "\"my schema\".\"Lease\"");
        assert_eq!(quoted("x\"; DROP TABLE y; --"), "\"x\"\"; DROP TABLE y; --\"");
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_the_reason() {
        let long = "x".repeat(64);
        for (text, reason) in [
            ("", "has an empty part"),
            (".lease", "has an empty part"),
            ("tenure.", "has an empty part"),
            ("a.b.c", "has more than one dot"),
            ("a\0b", "has a control character"),
            (&long, "has a part of more than 63 bytes"),
        ] {
            let error = text.parse::<TableName>().unwrap_err();
            assert_eq!(error.reason, reason, "{text:?}");
        }
    }
}
