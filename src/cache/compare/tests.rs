//! Made-up pairs of answers: what two samplings look like, and what answers to two questions look like.

use super::*;

/// The same answer in other words.
const SAME: [(&str, &str); 26] = [
    ("Nairobi.", "The capital of Kenya is Nairobi."),
    (
        "The capital of Kenya is Nairobi.",
        "Nairobi is the capital of Kenya. It is also its largest city, with 4.4 million people.",
    ),
    ("Water boils at 100 °C at sea level.", "At sea level, water boils at 100 degrees Celsius (212 °F)."),
    ("Yes.", "Yes, you can freeze cooked rice for up to a month."),
    ("Yes, cooked rice freezes well.", "You can freeze cooked rice; it keeps for a month or two."),
    (
        "You can reverse a list in Python with `my_list[::-1]`.",
        "Sure! To reverse a Python list, call `my_list.reverse()`, which changes it in place.",
    ),
    (
        "Use slicing: `reversed_list = my_list[::-1]`.",
        "The simplest way is the built-in `reversed()` function:\n\n```python\nlist(reversed(items))\n```",
    ),
    ("World War II ended in 1945.", "The war ended on 2 September 1945, when Japan signed the surrender."),
    ("Shakespeare wrote Hamlet.", "Hamlet was written by William Shakespeare around 1600."),
    ("There are seven days in a week.", "A week has 7 days."),
    ("It takes about 7 minutes.", "Boil it for about seven minutes, then put it in ice water."),
    (
        "Preheat the oven to 180 °C and bake for 25 minutes.",
        "Start by heating the oven to 180 °C. Then bake it for 25 minutes until golden.",
    ),
    (
        "Photosynthesis turns light into chemical energy.",
        "Plants use photosynthesis to convert light energy into chemical energy stored in glucose.",
    ),
    ("You should not mix bleach and ammonia.", "Never mix bleach with ammonia: it makes toxic chloramine gas."),
    ("It costs $20 per month.", "The price is $20 a month."),
    ("The U.S. has 50 states.", "The United States has 50 states."),
    ("Einstein was born in Ulm, Germany.", "Albert Einstein was born in Ulm in 1879."),
    ("Run `git reset --soft HEAD~1`.", "To undo the last commit and keep the changes, use `git reset --soft HEAD~1`."),
    ("The speed of light is 299,792,458 metres per second.", "Light travels at 299792458 m/s in vacuum."),
    (
        "Here are 3 ways to save money: cook at home, walk, and cancel subscriptions you no longer use. Each of these cuts \
      regular spending without much effort, and together they can add up to a surprising amount over the course of one year.",
        "Here are 5 ways to save money: make a budget, cook at home, buy second hand, walk or cycle, and cancel what you do \
      not use. None of them needs much effort, and over a year they add up to more than most people would expect at first.",
    ),
    (
        "To improve your sleep, keep a regular schedule, avoid screens late and limit caffeine.",
        "Good sleep starts with a routine: go to bed at the same time, keep the room dark, and avoid caffeine in the evening.",
    ),
    (
        "Thank you for your message. I will get back to you soon.",
        "Thanks for reaching out! I'll reply as soon as I can.",
    ),
    (
        "A mutex lets one thread at a time into a critical section.",
        "A mutex is a lock: only one thread may hold it at once, so that shared data is not changed by two.",
    ),
    ("The Great Wall of China is about 21,196 km long.", "It is 21,196 kilometers long, counting all of its branches."),
    (
        "Mitochondria produce ATP.",
        "They make most of the cell's ATP, which is why mitochondria are called its powerhouse.",
    ),
    ("Paris has about 2.1 million inhabitants.", "Roughly 2.1 million people live in Paris (2023)."),
];

/// Answers to two questions that were taken for one.
const OTHER: [(&str, &str); 24] = [
    ("Nairobi.", "Paris."),
    ("The capital of Kenya is Nairobi.", "The capital of France is Paris."),
    ("Nairobi is the capital city.", "Paris is the capital city."),
    ("Paris.", "The capital of Germany is Berlin."),
    ("Yes, you can freeze it.", "No, it must not be frozen."),
    ("Yes.", "No."),
    ("It takes 7 minutes.", "It takes 12 minutes."),
    ("It takes 7 minutes.", "It takes 7 hours."),
    ("Water boils at 100 °C.", "Water freezes at 0 °C."),
    ("The war ended in 1945.", "The war began in 1939."),
    ("You can freeze cooked rice.", "You cannot freeze cooked rice."),
    ("Run `git reset --soft HEAD~1`.", "Run `git reset --hard HEAD~1`."),
    ("It costs $20 per month.", "It costs €20 per month."),
    ("It costs $20 per month.", "It costs $200 per year."),
    ("Hamlet was written by Shakespeare.", "Faust was written by Goethe."),
    ("Sort in ascending order with sorted(items).", "Sort in descending order with sorted(items, reverse=True)."),
    ("To enable dark mode, open the settings.", "To disable dark mode, open the settings."),
    (
        "You can reverse a list in Python with `my_list[::-1]`.",
        "You can reverse an array in JavaScript with `array.reverse()`.",
    ),
    ("The flight leaves from Rome.", "The flight leaves from Madrid."),
    ("It is legal to park there.", "It is illegal to park there."),
    ("The minimum wage there is $15 an hour.", "The minimum wage there is $7.25 an hour."),
    (
        "Preheat the oven to 180 °C and bake the bread for 25 minutes.",
        "Interest compounds monthly, so the balance grows faster every year.",
    ),
    ("The meeting is on Monday.", "The meeting is on Friday."),
    ("Tokyo is 9 hours ahead of London.", "Sydney is 10 hours ahead of London."),
];

/// What the comparison cannot see: nothing in them contradicts.
const UNSEEN: [(&str, &str); 3] = [
    ("Add the eggs to the flour.", "Add the flour to the eggs."),
    ("A work visa lets you take a job.", "A student visa lets you study."),
    ("Press the green button.", "Press the red button."),
];

#[test]
fn two_samplings_of_one_answer_agree_and_answers_to_two_questions_do_not() {
    let semantic = Semantic::built_in().unwrap();
    let told = |pairs: &[(&'static str, &'static str)], wrong: fn(Option<&'static str>) -> bool| -> Vec<String> {
        let told = |(a, b): &(&str, &str)| {
            let found = conflict(a, b, &semantic);
            assert_eq!(found, conflict(b, a, &semantic), "it has no order: {a:?} {b:?}");
            wrong(found).then(|| format!("{found:?}: {a:?} {b:?}"))
        };
        pairs.iter().filter_map(told).collect()
    };
    assert_eq!(told(&SAME, |found| found.is_some()), [""; 0]);
    assert_eq!(told(&OTHER, |found| found.is_none()), [""; 0]);
    assert_eq!(told(&UNSEEN, |found| found.is_some()), [""; 0], "docs/cache.md says that these are not seen");
}

#[test]
fn any_text_is_compared() {
    let semantic = Semantic::built_in().unwrap();
    let long = "é".repeat(5000);
    for text in ["", " ", "\n\n", "🙂", "---", "$", "°", "1.2.3", "-", "a'", long.as_str(), "¿Qué?\u{0}"] {
        assert_eq!(conflict(text, text, &semantic), None, "{text:?}");
        conflict(text, "Nairobi is the capital of Kenya.", &semantic);
    }
}
