//! Grades of patients: the bands of a scheme over an index of all slides of a patient together.

use measures::{
    grade::{Grading, Scheme},
    index::IndexValue,
};

use super::{
    findings::{is_patient, quantity_columns},
    groups::Group,
    table::{Column, Table},
};

/// The band of a patient's index in a scheme.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PatientGrade<'a> {
    /// The slides of the patient in this index.
    pub(super) group: &'a Group<'a>,
    pub(super) patient: &'a str,
    pub(super) scheme: &'a Scheme,
    /// The index over all cells of these slides.
    pub(super) pooled: IndexValue,
    /// `None` for a number outside of all bands.
    pub(super) grading: Option<Grading<'a>>,
    /// Bands of the slides with the least and the largest index.
    pub(super) of_slides: [Option<&'a str>; 2],
}

/// The grades of all patients, by scheme, then in the order of the groups. Groups of several patients have none: a scheme
/// is over the index of one.
pub(super) fn grades<'a>(groups: &'a [Group<'a>], schemes: &'a [Scheme]) -> Vec<PatientGrade<'a>> {
    let pairs = schemes.iter().flat_map(|scheme| groups.iter().map(move |group| (scheme, group)));
    pairs.filter_map(|(scheme, group)| graded(scheme, group)).collect()
}

fn graded<'a>(scheme: &'a Scheme, group: &'a Group<'a>) -> Option<PatientGrade<'a>> {
    group.column.filter(|column| is_patient(column))?;
    let is_index = group.quantity.name == scheme.index && group.quantity.class.is_none();
    let (patient, pooled) = (group.value?, group.pooled.filter(|_| is_index)?);
    Some(PatientGrade {
        group,
        patient,
        scheme,
        pooled,
        grading: scheme.grading(pooled.value?, pooled.low, pooled.high),
        of_slides: [group.least, group.most].map(|value| scheme.grade(value)),
    })
}

/// A line for each patient, place of an index, and scheme.
pub(super) fn table(grades: &[PatientGrade<'_>]) -> Table {
    let groups = || grades.iter().map(|grade| grade.group);
    let mut columns = vec![
        text("patient", grades, |grade| Some(grade.patient)),
        text("scheme", grades, |grade| Some(&grade.scheme.name)),
    ];
    columns.extend(quantity_columns(groups().map(|group| group.quantity)));
    columns.extend([
        Column::counts("slides", groups().map(|group| Some(group.slides as u64))),
        Column::counts("of_slides", groups().map(|group| Some(group.of_slides as u64))),
        Column::counts("doubtful", groups().map(|group| Some(group.doubtful as u64))),
        Column::counts("cells", groups().map(|group| group.cells)),
        Column::numbers("over", groups().map(|group| group.over)),
        number("pooled", grades, |grade| grade.pooled.value),
        number("pooled_low", grades, |grade| Some(grade.pooled.low)),
        number("pooled_high", grades, |grade| Some(grade.pooled.high).filter(|high| high.is_finite())),
        text("grade", grades, |grade| grade.grading.map(|grading| grading.grade)),
        text("grade_low", grades, |grade| grade.grading.map(|grading| grading.interval.0)),
        text("grade_high", grades, |grade| grade.grading.map(|grading| grading.interval.1)),
        text("grade_of_least", grades, |grade| grade.of_slides[0]),
        text("grade_of_most", grades, |grade| grade.of_slides[1]),
        text("source", grades, |grade| Some(&grade.scheme.source)),
        text("note", grades, |grade| grade.group.note.as_deref()),
    ]);
    Table::new(columns)
}

fn text(
    name: &str,
    grades: &[PatientGrade<'_>],
    of: for<'g> fn(&'g PatientGrade<'_>) -> Option<&'g str>,
) -> Column {
    Column::texts(name, grades.iter().map(of))
}

fn number(name: &str, grades: &[PatientGrade<'_>], of: fn(&PatientGrade<'_>) -> Option<f64>) -> Column {
    Column::numbers(name, grades.iter().map(of))
}

#[cfg(test)]
mod tests {
    use measures::{Measures, interval::wilson};

    use super::{
        super::{
            example::{GRADED, ki_67, slide},
            findings::CohortSlide,
            groups::groups,
            pool::Divisors,
        },
        *,
    };

    /// A slide with so many positive cells among others.
    fn counted(id: &str, columns: &[(&str, &str)], cells: u64, all: u64) -> CohortSlide {
        CohortSlide { findings: vec![ki_67(cells, all)], ..slide(id, columns, 1.0) }
    }

    /// Of 1 % in 900 cells and 40 % in 100 the mean is 20.5 %, G3; but 49 of 1,000 cells are positive, G2.
    #[test]
    fn a_patient_has_the_grade_of_all_cells_together() {
        let mut slides = vec![
            counted("a", &[("patient", "P1"), ("arm", "x")], 9, 900),
            counted("b", &[("patient", "P1"), ("arm", "x")], 40, 100),
            counted("c", &[("patient", "P2"), ("arm", "x")], 30, 100),
            counted("d", &[("arm", "y")], 1, 100),
        ];
        slides[1].is_doubtful = true;
        slides[1].findings[0].note = Some("its regions overlap".to_owned());
        slides.push(CohortSlide { findings: Vec::new(), ..slide("e", &[("patient", "P1")], 1.0) });
        let definition = Measures::from_toml(GRADED).unwrap();
        let by = ["patient".to_owned(), "arm".to_owned()];
        let groups = groups(&slides, &by, &Divisors::new(&definition));
        let grades = grades(&groups, &definition.schemes);
        let told = grades.iter().map(|grade| {
            let grading = grade.grading.unwrap();
            (grade.patient, grade.scheme.name.as_str(), grading.grade, grading.interval)
        });
        let expected = [
            ("P1", "bands", "G2", ("G2", "G2")),
            ("P2", "bands", "G3", ("G3", "G3")),
            ("P1", "halves", "low", ("low", "low")),
            ("P2", "halves", "low", ("low", "low")),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected, "neither an arm nor slides of nobody are graded");
        let first = &grades[0];
        assert_eq!((first.pooled.value, first.pooled.cells), (Some(0.049), 49));
        assert_eq!(first.of_slides, [Some("G1"), Some("G3")]);
        let (low, high) = wilson(49, 1000, measures::interval::Level::PERCENT_95);
        let csv = String::from_utf8(table(&grades).csv().unwrap()).unwrap();
        let mut lines = csv.lines();
        assert_eq!(
            lines.next().unwrap(),
            "patient,scheme,quantity,place,class_name,unit,slides,of_slides,doubtful,cells,over,pooled,pooled_low,\
             pooled_high,grade,grade_low,grade_high,grade_of_least,grade_of_most,source,note"
        );
        assert_eq!(
            lines.next().unwrap(),
            format!(
                "P1,bands,Ki-67,slide,,share,2,3,1,49,1000.000000,0.049000,{low:.6},{high:.6},G2,G2,G2,G1,G3,a book,\
                 on 1 of 2 slides its regions overlap"
            )
        );
        assert!(table(&grades).parquet().unwrap().starts_with(b"PAR1"));
    }

    #[test]
    fn a_number_outside_of_all_bands_has_no_grade() {
        let slides = [counted("a", &[("Patient", "P1")], 9, 10)];
        let text =
            GRADED.replace("{ grade = \"high\", from = 0.5 }", "{ grade = \"high\", from = 0.5, to = 0.6 }");
        let definition = Measures::from_toml(&text).unwrap();
        let by = ["Patient".to_owned()];
        let groups = groups(&slides, &by, &Divisors::new(&definition));
        let grades = grades(&groups, &definition.schemes);
        assert_eq!((grades[0].grading.map(|grading| grading.grade), grades[1].grading), (Some("G3"), None));
    }
}
