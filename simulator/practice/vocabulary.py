"""Names, places, drugs and sentences of the generated records."""

# fmt: off
FEMALE_NAMES = (
    "Ada", "Amara", "Beatriz", "Chloe", "Denise", "Elena", "Fatima", "Grace", "Hannah", "Ines", "Joan", "Keiko",
    "Leila", "Maria", "Nadia", "Olivia", "Priya", "Quinn", "Rosa", "Sofia", "Tamika", "Uma", "Vera", "Wanda",
    "Ximena", "Yara", "Zoë",
)
MALE_NAMES = (
    "Aaron", "Bruno", "Carlos", "David", "Emeka", "Felix", "George", "Hiro", "Ivan", "James", "Kofi", "Luis",
    "Mateo", "Noah", "Omar", "Peter", "Quentin", "Rafael", "Samuel", "Tomás", "Umar", "Victor", "Walter",
    "Xavier", "Yusuf", "Zachary", "José",
)
LAST_NAMES = (
    "Adams", "Baker", "Chen", "Diaz", "Evans", "Foster", "Garcia", "Hughes", "Ibrahim", "Jones", "Kowalski",
    "Lopez", "Miller", "Nguyen", "O'Brien", "Patel", "Quintana", "Rossi", "Smith-Jones", "Taylor", "Ueda",
    "Vargas", "Williams", "Xu", "Young", "Zimmerman", "Müller", "Núñez",
)
STREETS = (
    "Maple Street", "Oak Avenue", "2nd Street", "Church Road", "Lakeview Drive", "Mill Lane",
    "Sunset Boulevard", "Washington Avenue", "Park Place", "River Road",
)
# fmt: on
PLACES = (
    ("Annapolis", "MD", "21401"),
    ("Baltimore", "MD", "21202"),
    ("Richmond", "VA", "23220"),
    ("Wilmington", "DE", "19801"),
    ("Trenton", "NJ", "08608"),
    ("Albany", "NY", "12207"),
)
RELATIONS = ("Spouse", "Parent", "Child", "Sibling", "Friend")
REFERRALS = ("", "Internet search", "Friend or family", "Insurance directory", "Dr. Quintana", "Walk-in")
INSURERS = (
    ("Aetna", "60054"),
    ("Cigna", "62308"),
    ("UnitedHealthcare", "87726"),
    ("CareFirst BCBS", "00580"),
    ("Medicare", "MR001"),
    ("Humana", "61101"),
)
REASONS = (
    "Annual physical",
    "Follow-up",
    "Headache",
    "Back pain",
    "Blood pressure check",
    "Cough and fever",
    "Medication review",
    "Rash",
    "Vaccination",
    "Fatigue",
)
CODES = (
    ("I10", "Essential (primary) hypertension", "59621000"),
    ("E11.9", "Type 2 diabetes mellitus without complications", "44054006"),
    ("E78.5", "Hyperlipidemia, unspecified", "55822004"),
    ("J45.909", "Unspecified asthma, uncomplicated", "195967001"),
    ("M54.50", "Low back pain, unspecified", "279039007"),
    ("F41.1", "Generalized anxiety disorder", "21897009"),
    ("K21.9", "Gastro-esophageal reflux disease without esophagitis", "235595009"),
    ("G43.909", "Migraine, unspecified", "37796009"),
)
DRUGS = (
    ("Lisinopril 10 mg tablet", "314076", "68180098001", "10", "mg", "Oral"),
    ("Metformin 500 mg tablet", "861007", "23155010201", "500", "mg", "Oral"),
    ("Atorvastatin 20 mg tablet", "617310", "00071015523", "20", "mg", "Oral"),
    ("Albuterol 90 mcg inhaler", "745679", "00173068220", "2", "puffs", "Inhalation"),
    ("Omeprazole 20 mg capsule", "198051", "55111015810", "20", "mg", "Oral"),
    ("Sertraline 50 mg tablet", "312941", "16714061201", "50", "mg", "Oral"),
    ("Insulin glargine 100 units/mL", "261551", "00088222033", "12", "units", "Subcutaneous"),
)
FREQUENCIES = ("once daily", "twice daily", "three times daily", "every 6 hours as needed", "at bedtime")
ALLERGENS = (
    ("Penicillin", "7980", "247472004", "Hives"),
    ("Sulfonamides", "10831", "271807003", "Rash"),
    ("Peanut", "", "39579001", "Anaphylaxis"),
    ("Latex", "", "271807003", "Rash"),
    ("Codeine", "2670", "422587007", "Nausea"),
    ("Bee venom", "", "65124004", "Swelling"),
)
SECTIONS = ("CC", "HPI", "PMH", "ROS", "Physical Exam", "Assessment", "Plan")
SENTENCES = (
    "Patient reports feeling well since the last visit.",
    "Symptoms began about two weeks ago and have slowly improved.",
    "Denies chest pain, shortness of breath, or dizziness.",
    "Lungs clear to auscultation, heart rate regular.",
    "Blood pressure is above goal; will adjust the dose.",
    "Continue current medications and return in three months.",
    "Discussed diet, exercise and sleep; patient agrees with the plan.",
    "Labs ordered: CBC, CMP, lipid panel, HbA1c.",
)
