//! Names of a model's classes, the same in tables, accounts and pictures.

use std::borrow::Cow;

use wsi_types::ClassId;

/// Names by class. A class without a name is called `class_<n>` everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassNames(Vec<String>);

impl ClassNames {
    /// The names of classes 0, 1 and so on.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// The name of a class, also of one that the model does not name.
    #[must_use]
    pub fn name(&self, class: ClassId) -> Cow<'_, str> {
        match self.0.get(usize::from(class.0)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(Self::of_nameless(class)),
        }
    }

    /// The name of a class that the model does not name.
    #[must_use]
    pub fn of_nameless(class: ClassId) -> String {
        format!("class_{}", class.0)
    }

    /// The names, by class.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The class with a name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<ClassId> {
        self.iter().find(|(_, known)| *known == name).map(|(class, _)| class)
    }

    /// Adds a name, if it is not there; returns its class.
    pub fn add(&mut self, name: &str) -> ClassId {
        self.class(name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            ClassId((self.0.len() - 1) as u16)
        })
    }

    /// All classes that have a name, with it.
    pub fn iter(&self) -> impl Iterator<Item = (ClassId, &str)> {
        self.0.iter().enumerate().map(|(place, name)| (ClassId(place as u16), name.as_str()))
    }

    /// Number of classes that have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `true` if no class has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<String> for ClassNames {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_once_in_their_order() {
        let mut names = ClassNames::default();
        let classes = ["tumour", "stroma", "tumour", "gland"].map(|name| names.add(name).0);
        assert_eq!(classes, [0, 1, 0, 2]);
        assert_eq!((names.class("gland"), names.class("fat")), (Some(ClassId(2)), None));
        assert_eq!(names.iter().map(|(class, _)| class.0).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_class_without_a_name_is_called_by_its_number() {
        let names = ClassNames::new(vec!["tumour".into()]);
        assert_eq!((names.name(ClassId(0)), names.name(ClassId(7))), ("tumour".into(), "class_7".into()));
    }
}
