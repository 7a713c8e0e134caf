//! What is asked of a view: the parameters of a request, each taken by who knows it; those that
//! are left are conditions on columns.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use dataflows::views::View;

use super::problem::Problem;
use crate::views::Filter;

/// Rows of an answer at most.
pub const LIMIT_MAX: usize = 100_000;

/// The path of a request for a view.
pub type ViewPath = Result<Path<String>, PathRejection>;
/// The parameters of a request, as they come.
pub type ViewQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of a request that nobody has taken yet.
#[derive(Debug)]
pub struct Request {
    view: View,
    parameters: Vec<(String, String)>,
}

impl Request {
    /// The view and the parameters.
    ///
    /// # Errors
    /// 404 for a view that there is not; 400 for what is no text.
    pub fn parse(path: ViewPath, query: ViewQuery) -> Result<Request, Problem> {
        let Path(name) = path.map_err(|error| Problem::bad("bad_request", error.body_text()))?;
        let view = View::named(&name).ok_or_else(|| Problem::unknown_view(&name))?;
        Ok(Request { view, ..Request::of_query(query)? })
    }

    /// The parameters of a request that is not for a view.
    ///
    /// # Errors
    /// 400 for what is no text.
    pub fn of_query(query: ViewQuery) -> Result<Request, Problem> {
        let Query(parameters) =
            query.map_err(|error| Problem::bad("bad_request", error.body_text()))?;
        Ok(Request { view: View::Conservation, parameters })
    }

    /// The view.
    pub fn view(&self) -> View {
        self.view
    }

    /// The parameters as they came, `(name, value)`.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes a parameter that is not a column; the last one where it is repeated.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.extract_if(.., |(other, _)| other == name).last().map(|(_, value)| value)
    }

    /// Takes a parameter that is a whole number.
    ///
    /// # Errors
    /// 400 where it is something else.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let number = |text: String| {
            text.parse().map_err(|_| {
                Problem::bad("bad_value", format!("{name} {text:?} is not a whole number"))
            })
        };
        self.take(name).map(number).transpose()
    }

    /// Takes a parameter that is true or false.
    ///
    /// # Errors
    /// 400 where it is something else.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        let flag = |text: String| {
            text.parse().map_err(|_| Problem::bad("bad_value", format!("{name} is true or false")))
        };
        self.take(name).map(flag).transpose()
    }

    /// Takes `limit`.
    ///
    /// # Errors
    /// 400 where it is not within 1..[`LIMIT_MAX`].
    pub fn limit(&mut self) -> Result<Option<usize>, Problem> {
        let limit = |text: String| {
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| {
                let detail = format!("limit {text:?} is not a number of 1..{LIMIT_MAX}");
                Problem::bad("bad_limit", detail)
            })
        };
        self.take("limit").map(limit).transpose()
    }

    /// All parameters that are left, as conditions on columns.
    ///
    /// # Errors
    /// 400 where they are none.
    pub fn filter(&self) -> Result<Filter, Problem> {
        Ok(Filter::parse(self.view, self.parameters())?)
    }

    /// The same, for people to read.
    pub fn conditions(&self) -> String {
        let pairs = self.parameters().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// 400 where something is.
    pub fn end(&self) -> Result<(), Problem> {
        match self.parameters.first() {
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(Problem::bad("unknown_parameter", format!("there is no parameter {name:?}")))
            }
            None => Ok(()),
        }
    }
}
