package command

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"weir/openai"
)

// streamed reads the answer to the streamed question.
func (e *examination) streamed(r reply, s *subject) {
	says := readComplaint(r.body)
	switch {
	case r.err == nil && r.status == http.StatusOK && mimeOf(r.header) == "text/event-stream":
		e.events(r, s)
	case r.err == nil && r.status == http.StatusOK:
		e.add(finding{
			Check: "stream", Target: s.ID(), Result: gradeFail, Seen: "a stream was asked for, and the answer is " + mimeOf(r.header),
			Mend: "look at what is in front of the endpoint: it must pass streams on", Path: e.key("endpoint"),
		})
	case r.status == http.StatusBadRequest && says.about("stream_options"):
		e.version(s.ID())
		f := finding{
			Check: "stream", Target: s.ID(), Result: gradeWarn, Seen: "it refuses stream_options: tokens of streams are counted by Weir",
			Mend: "api_version: v1, or 2024-09-01-preview or later", Path: e.key("api_version"),
		}
		if e.compatible() {
			f.Mend, f.Path = "a newer version of the server may take it", s.path
		}
		e.add(f)
	default:
		e.unstreamed(r, s)
	}
}

// unstreamed notes an answer that is no stream, or that broke off.
func (e *examination) unstreamed(r reply, s *subject) {
	f := e.refusal(r, s)
	if r.status == http.StatusOK {
		f.Check = "stream"
	}
	if f.alive && f.Result == gradeOK {
		f.Check, f.Seen = "stream", "not seen: it thought longer than the answer may be"
	}
	e.add(f.finding)
}

// events reads a stream's events, and how they are filtered.
func (e *examination) events(r reply, s *subject) {
	in := openai.NewStream(bytes.NewReader(r.body))
	mode, failed := filterNone, ""
	for {
		event, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			failed = "the stream was cut: " + quote(err.Error())
			break
		}
		if event.Err.Kind() != openai.Missing {
			failed = "the stream ended in an error: " + quote(readComplaint(event.Data).Message)
			break
		}
		mode = max(mode, filterOf(event.Root))
	}
	if failed != "" {
		e.add(finding{Check: "stream", Target: s.ID(), Result: gradeFail, Seen: failed, Mend: "ask again; if it stays, look at what is in front of the endpoint", Path: e.key("endpoint")})
		return
	}
	if !e.asked(s) {
		e.learned(in.Facts, r.header, s)
	} else if in.HasUsage {
		e.cost(in.Usage)
	}
	seen := "stream_options is taken"
	if !in.HasUsage {
		seen = "it streams, but names no tokens: Weir counts them"
	}
	e.add(finding{Check: "stream", Target: s.ID(), Result: gradeOK, Seen: seen})
	f := finding{Check: "filter", Target: s.ID(), Result: gradeOK, Seen: mode.String()}
	if mode == filterBroken {
		f.Result, f.Mend, f.Path = gradeWarn, "ask again; if it stays, look at the deployment's content filter", s.path
	}
	e.add(f)
}

// asked reports whether the deployment has answered before.
func (e *examination) asked(s *subject) bool {
	for _, f := range e.findings {
		if f.Check == "call" && f.Target == s.ID() {
			return true
		}
	}
	return false
}

// filtering is how a stream's content is filtered.
type filtering int

const (
	filterNone filtering = iota
	filterSync
	filterAsync
	filterBroken
)

// String returns it in words.
func (f filtering) String() string {
	switch f {
	case filterSync:
		return "synchronous: text comes once it is filtered"
	case filterAsync:
		return "asynchronous: text comes before it is filtered"
	case filterBroken:
		return "the filter failed, and text came without it"
	default:
		return "streams have no annotations of a content filter"
	}
}

// filterOf returns what one event says of the filter: an asynchronous one says
// later how far it has come.
func filterOf(event openai.Value) filtering {
	mode := filterNone
	for _, choice := range event.Get("choices").Elements() {
		switch {
		case choice.Get("content_filter_results").Get("error").Kind() != openai.Missing:
			return filterBroken
		case choice.Get("content_filter_offsets").Kind() != openai.Missing:
			return filterAsync
		case choice.Get("content_filter_results").Len() > 0:
			mode = filterSync
		}
	}
	return mode
}
