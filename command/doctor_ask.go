package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/openai"
	"weir/tokens"
)

// How long an answer may be, in tokens: a model that reasons begins with what is
// not shown.
const (
	plainBound     = 1
	reasoningBound = 256
)

// maxReply is how much of an answer is read.
const maxReply = 1 << 20

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
	at     time.Time // half way between asking and the answer
	err    error     // nothing came, or not all of it
	sent   http.Header
}

// send asks as the gateway would. The credential that it sends is not shown
// afterwards.
func (e *examination) send(ctx context.Context, method, target string, body []byte) reply {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return reply{err: fmt.Errorf("making the request: %w", err)}
	}
	if err := e.at.Credential.Authorize(ctx, req.Header); err != nil {
		return reply{err: &credentialError{err}}
	}
	sent := req.Header.Clone()
	for _, values := range sent {
		for _, value := range values {
			e.hidden = append(e.hidden, value, strings.TrimPrefix(value, "Bearer "))
		}
	}
	req.Header.Set("Accept-Encoding", "identity")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	begun := e.now()
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }() // what was not read is not wanted
	now := e.now()
	r := reply{status: resp.StatusCode, header: resp.Header, at: begun.Add(now.Sub(begun) / 2), sent: sent}
	r.body, r.err = io.ReadAll(io.LimitReader(resp.Body, maxReply))
	return r
}

// credentialError says that there was no credential to send.
type credentialError struct{ error }

// question is a request for an answer that is as short as may be.
type question struct {
	field  string // that bounds the answer
	bound  int
	stream bool
}

// call asks a deployment.
func (e *examination) call(ctx context.Context, s *subject, q question) reply {
	body := map[string]any{
		"model":    s.Name,
		"messages": []any{map[string]string{"role": "user", "content": "Say ok."}},
		q.field:    q.bound,
	}
	if q.stream {
		body["stream"], body["stream_options"] = true, map[string]bool{"include_usage": true}
	}
	raw, _ := json.Marshal(body) // it always encodes
	e.calls++
	return e.send(ctx, http.MethodPost, s.URL(openai.Chat), raw)
}

// ask asks a deployment twice: for an answer, and for a stream. Where the first
// is refused for the name of its bound, the second has the other name and stands
// for both.
func (e *examination) ask(ctx context.Context, s *subject) {
	if !s.chats() {
		e.add(finding{Check: "call", Target: s.ID(), Result: gradeOK, Seen: "not asked: " + s.models[0].base + " is no chat model"})
		return
	}
	q := question{field: s.models[0].facts.MaxCompletionField(), bound: plainBound}
	if s.models[0].facts.Reasoning {
		q.bound = reasoningBound
	}
	r := e.call(ctx, s, q)
	says := readComplaint(r.body)
	switch {
	case r.status == http.StatusBadRequest && says.about(q.field):
		e.add(finding{
			Check: "parameters", Target: s.ID(), Result: gradeWarn, Seen: "it refuses " + q.field,
			Mend: "say in base_model what it really is", Path: s.modelPath("base_model"),
		})
		q.field, q.bound = otherField(q.field)
	case !e.answered(r, s):
		return
	}
	q.stream = true
	e.streamed(e.call(ctx, s, q), s)
}

func otherField(field string) (other string, bound int) {
	if field == "max_tokens" {
		return "max_completion_tokens", reasoningBound
	}
	return "max_tokens", plainBound
}

// modelPath returns the path of a key of the first model that the deployment
// serves, "" where there is no such model.
func (s *subject) modelPath(key string) string {
	if s.models[0].path == "" {
		return ""
	}
	return s.models[0].path + "." + key
}

// answered reads a plain answer, and reports whether the deployment is there.
func (e *examination) answered(r reply, s *subject) bool {
	facts, err := openai.ReadAnswer(r.body)
	if r.err != nil || r.status != http.StatusOK || err != nil {
		f := e.refusal(r, s)
		e.add(f.finding)
		return f.alive
	}
	e.learned(facts, r.header, s)
	return true
}

func mimeOf(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind == "" {
		return "without a type"
	}
	return quote(kind)
}

// learned notes what an answer tells: that it came, of which model, from where,
// and under which limits.
func (e *examination) learned(facts openai.Facts, h http.Header, s *subject) {
	e.version(s.ID())
	seen := "it answers"
	if u := facts.Usage; facts.HasUsage {
		e.cost(u)
		seen = fmt.Sprintf("it answers, for %d + %d tokens", u.Prompt, u.Completion)
	}
	e.add(finding{Check: "call", Target: s.ID(), Result: gradeOK, Seen: seen})
	for _, m := range s.models {
		e.model(facts.Model, m, s)
	}
	if region := h.Get("X-Ms-Region"); region != "" {
		e.add(finding{Check: "region", Target: s.ID(), Result: gradeOK, Seen: quote(region)})
	}
	e.limits(h, s)
}

func (e *examination) cost(u openai.Usage) {
	e.prompt, e.answer = e.prompt+u.Prompt, e.answer+u.Completion
}

// model compares the model that answered with the one that it is said to be.
func (e *examination) model(answered string, m served, s *subject) {
	if answered == "" {
		return
	}
	actual := tokens.Lookup(answered)
	f := finding{Check: "model", Target: s.ID(), Result: gradeOK, Seen: "it is " + quote(answered) + ", as " + m.base + " is"}
	switch {
	case !actual.Known:
		f.Seen = "it calls itself " + quote(answered) + ", of which Weir knows nothing"
	case m.facts.Prefix == "model-router":
		f.Seen = "it is a router, and chose " + quote(answered)
	case actual.Prefix != m.facts.Prefix:
		base := actual.Prefix
		if strings.HasSuffix(base, ".") {
			base = answered
		}
		f.Result, f.Seen = gradeWarn, fmt.Sprintf("it is %s, and is said to be %s: tokens, windows and parameters are those of another model", quote(answered), m.base)
		f.Mend, f.Path = "base_model: "+base+", in a configuration file", ""
		if m.path != "" {
			f.Mend, f.Path = "base_model: "+base, m.path+".base_model"
		}
	}
	e.add(f)
}

// limits compares the limits that an answer names with those that are
// configured. That of requests is only shown: it may be of a shorter time than a
// minute.
func (e *examination) limits(h http.Header, s *subject) {
	var said []string
	for _, kind := range []string{"tokens", "requests"} {
		if limit := h.Get("X-Ratelimit-Limit-" + kind); limit != "" {
			said = append(said, fmt.Sprintf("%s of %s %s left", quote(h.Get("X-Ratelimit-Remaining-"+kind)), quote(limit), kind))
		}
	}
	if used := h.Get("Azure-Openai-Deployment-Utilization"); used != "" {
		said = append(said, quote(used)+" of provisioned throughput in use")
	}
	f := finding{Check: "limits", Target: s.ID(), Result: gradeOK, Seen: "it names none"}
	if len(said) > 0 {
		f.Seen = strings.Join(said, ", ")
	}
	configured := s.Quota.Tokens
	if limit, err := strconv.ParseInt(h.Get("X-Ratelimit-Limit-Tokens"), 10, 64); err == nil && configured > 0 && limit != configured {
		f.Result, f.Path = gradeWarn, s.path+".tpm"
		f.Seen += fmt.Sprintf(", and tpm is said to be %d", configured)
		f.Mend = fmt.Sprintf("tpm: %d", limit)
	}
	e.add(f)
}
