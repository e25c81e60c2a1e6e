use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use tenure_dependency::ManifoldName;

use super::error::InputError;

/// What a worker gives to those that depend on it: values, told apart by their types.
///
/// ```
/// use tenure_runtime::dependency::Outputs;
///
/// let outputs = Outputs::none().and(7_u32).and(String::from("seven"));
/// assert_eq!(format!("{outputs:?}"), "[\"u32\", \"alloc::string::String\"]");
/// ```
#[derive(Default)]
pub struct Outputs(Vec<Output>);

struct Output {
    id: TypeId,
    name: &'static str,
    value: Box<dyn Any + Send + Sync>,
}

impl Outputs {
    /// Nothing.
    pub fn none() -> Outputs {
        Outputs::default()
    }

    /// This value as well. Of two of one type the first counts.
    #[must_use]
    pub fn and<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Outputs {
        self.0.push(Output {
            id: TypeId::of::<T>(),
            name: type_name::<T>(),
            value: Box::new(value),
        });
        self
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|output| output.name)).finish()
    }
}

/// The inputs of a manifold, as they were when it was started.
#[derive(Debug)]
pub struct Inputs {
    manifold: ManifoldName,
    inputs: Vec<(ManifoldName, Option<Arc<Outputs>>)>,
}

impl Inputs {
    pub(crate) fn new(
        manifold: ManifoldName,
        inputs: Vec<(ManifoldName, Option<Arc<Outputs>>)>,
    ) -> Inputs {
        Inputs { manifold, inputs }
    }

    /// What the manifold is called that these are the inputs of.
    pub fn manifold(&self) -> &ManifoldName {
        &self.manifold
    }

    /// A clone of what the input `name` gives of type `T`.
    ///
    /// # Errors
    ///
    /// An [`InputError`], which `?` in a start function makes into the right
    /// [`WorkerError`](super::WorkerError), if the input does not run, or gives nothing of that
    /// type, or is none of this manifold's.
    pub fn get<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Result<T, InputError> {
        let Some((input, outputs)) = self.inputs.iter().find(|(input, _)| input.as_str() == name)
        else {
            let (input, manifold) = (name.to_owned(), self.manifold.clone());
            return Err(InputError::NotDeclared { input, manifold });
        };
        let Some(outputs) = outputs else {
            return Err(InputError::Missing { input: input.clone() });
        };
        let of_type = outputs.0.iter().find(|output| output.id == TypeId::of::<T>());
        match of_type.and_then(|output| output.value.downcast_ref::<T>()) {
            Some(value) => Ok(value.clone()),
            None => Err(InputError::WrongType {
                input: input.clone(),
                wanted: type_name::<T>(),
                found: outputs.0.iter().map(|output| output.name).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_got_by_name_and_type_or_the_error_names_both() {
        let outputs = Arc::new(Outputs::none().and(7_u32).and("seven"));
        let inputs = Inputs::new(
            "tracker".into(),
            vec![
                ("agent".into(), Some(outputs)),
                ("api".into(), None),
                ("quiet".into(), Some(Arc::new(Outputs::none()))),
            ],
        );
        assert_eq!(inputs.get::<u32>("agent"), Ok(7));
        assert_eq!(inputs.get::<&str>("agent"), Ok("seven"));
        let error = |name| inputs.get::<String>(name).unwrap_err().to_string();
        assert_eq!(error("agent"), "input agent gives no alloc::string::String, but u32 and &str");
        assert_eq!(error("quiet"), "input quiet gives no alloc::string::String, but nothing");
        assert_eq!(error("api"), "input api is not there");
        assert_eq!(error("other"), "manifold tracker has no input named other");
    }
}
