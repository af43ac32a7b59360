package upstream

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/openai"
	"weir/policy"
)

// lessons is what a deployment's answers have shown of it. The zero value has
// seen none.
type lessons struct {
	fixed     learned // it refuses a temperature
	noUsage   learned // it refuses stream_options
	swapped   learned // it wants the other field for the output bound
	developer learned // it refuses the role developer

	mu     sync.Mutex
	model  string // that answers name
	stream pace
	plain  pace
}

// learn notes which model an answer names.
func (l *lessons) learn(model string) {
	if model == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.model = model
}

// answered notes how long the beginning of a stream took, or the whole of a plain
// answer.
func (l *lessons) answered(stream bool, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stream {
		l.stream.add(d)
		return
	}
	l.plain.add(d)
}

// usual returns how long half of the answers take to begin; 0 unknown.
func (l *lessons) usual(stream bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stream {
		return l.stream.median()
	}
	return l.plain.median()
}

// pace is how long the last answers took.
type pace struct {
	last [paced]time.Duration
	n    int // answers seen
}

// paced is how many answers are remembered, and fewest how many tell something.
const (
	paced  = 32
	fewest = 5
)

func (p *pace) add(d time.Duration) {
	p.last[p.n%paced] = d
	p.n++
}

// median returns what half of the answers took at most; 0 for too few.
func (p *pace) median() time.Duration {
	if p.n < fewest {
		return 0
	}
	sorted := p.last
	known := sorted[:min(p.n, paced)]
	slices.Sort(known)
	return known[len(known)/2]
}

// teaches notes what a refusal shows of the deployment, beside what a change of
// ours taught it.
func (m *member) teaches(o policy.Outcome) {
	if o.Class == policy.Unsupported && o.Param == "developer" {
		m.lessons.developer.learn()
	}
}

// spilled returns the deployment of the same resource that Azure itself handed
// the request on to, "" where it did not.
func (d *Deployment) spilled(h http.Header) string {
	to := openai.Word(h.Get("X-Ms-Deployment-Name"))
	if !d.Spills {
		return ""
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Ms-Spillover-") {
			return cmp.Or(to, "unknown")
		}
	}
	if strings.EqualFold(to, d.Name) {
		return ""
	}
	return to
}

// region returns where Azure says that an answer was made. Its regions have blanks in
// their names.
func region(h http.Header) string {
	name := h.Get("X-Ms-Region")
	if openai.Word(strings.ReplaceAll(name, " ", "")) == "" {
		return ""
	}
	return name
}

// spare passes over the deployment that Azure has handed the request on to: it
// has been asked.
func (r *run) spare(m *member, to string) {
	for _, o := range r.group.members {
		if o != m && o.Backend == m.Backend && strings.EqualFold(o.Name, to) {
			r.tried[o] += never
		}
	}
}

// never is more attempts than any deployment is asked for; a multiple of it counts
// as none.
const never = 1 << 10

// learnedOf returns what has been learned of a deployment, in the words of the
// readiness page.
func (m *member) learnedOf() (model string, facts []string) {
	for _, f := range []struct {
		name string
		of   *learned
	}{
		{"fixed_temperature", &m.lessons.fixed},
		{"no_stream_options", &m.lessons.noUsage},
		{"other_output_bound", &m.lessons.swapped},
		{"no_developer_role", &m.lessons.developer},
	} {
		if f.of.holds() {
			facts = append(facts, f.name)
		}
	}
	m.lessons.mu.Lock()
	defer m.lessons.mu.Unlock()
	return m.lessons.model, facts
}
