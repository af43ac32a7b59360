package openai

import "bytes"

// Filter is what a content filter of Azure's found in a prompt or in an answer.
type Filter struct {
	Source   string // prompt or completion
	Category string // in Azure's words; "other" for one that is not known
	Severity string // low, medium or high; detected where there are no degrees
	Filtered bool   // it was withheld for it
}

// Filters are what a content filter found. The zero value is that of one that found
// nothing.
type Filters [2][14]finding // of prompt and completion, by category

// finding is the worst of one category: its severity, by its index among severities,
// and withheld where it was.
type finding uint8

const withheld finding = 1 << 7

func (f finding) severity() finding { return f &^ withheld }

// sources, categories and severities are the words that are known, each in the order
// in which Filters has it. The last category stands for all others.
func sources() [2]string { return [...]string{"prompt", "completion"} }

func categories() [14]string {
	return [...]string{
		"hate", "self_harm", "sexual", "violence", "profanity", "jailbreak", "indirect_attack", "protected_material_text", "protected_material_code",
		"custom_blocklists", "custom_topics", "personally_identifiable_information", "ungrounded_material", "other",
	}
}

func severities() [5]string { return [...]string{"", "low", "medium", "high", "detected"} }

// The indexes of sources.
const (
	ofPrompt = iota
	ofCompletion
)

// List returns what was found, nil where nothing was.
func (f *Filters) List() []Filter {
	if *f == (Filters{}) {
		return nil
	}
	var all []Filter
	for source := range f {
		for category, found := range f[source] {
			if found > 0 {
				all = append(all, Filter{sources()[source], categories()[category], severities()[found.severity()], found&withheld > 0})
			}
		}
	}
	return all
}

// FiltersOf returns what the content filter found that an error says it refused a
// prompt for.
func FiltersOf(body []byte) []Filter {
	root, err := ReadValue(body)
	if err != nil {
		return nil
	}
	var f Filters
	for _, inner := range [...]string{"innererror", "inner_error"} {
		at := root.Get("error").Get(inner)
		f.note(ofPrompt, at.Get("content_filter_result"))
		f.note(ofPrompt, at.Get("content_filter_results"))
	}
	return f.List()
}

// note takes note of what results say that is not harmless.
func (f *Filters) note(source int, results Value) {
	if raw := results.Raw(); len(raw) <= len("{}") || !mayTell(raw) {
		return
	}
	for name, v := range results.pairs() {
		now := severityOf(v)
		known := categories()
		last := len(known) - 1
		for i := range known {
			if i == last || name.Is(known[i]) {
				was := f[source][i]
				f[source][i] = max(was.severity(), now.severity()) | (was|now)&withheld
				break
			}
		}
	}
}

// severityOf returns what one result says.
func severityOf(v Value) finding {
	var f finding
	if v.Get("filtered").IsTrue() {
		f = withheld
	}
	at, known := v.Get("severity"), severities()
	last := finding(len(known) - 1)
	for i := finding(1); i < last; i++ {
		if at.Is(known[i]) {
			return f | i
		}
	}
	if f == withheld || v.Get("detected").IsTrue() {
		return f | last
	}
	return 0
}

// mayTell reports whether results could say more than that all is harmless. Of a
// stream each chunk says it anew.
func mayTell(raw []byte) bool {
	for _, word := range [...]string{"true", "low", "medium", "high"} {
		if bytes.Contains(raw, []byte(word)) {
			return true
		}
	}
	return false
}
