package azuresim

import (
	"net/http"
	"strings"
	"time"
)

// contentFaults change what the answer says.
func contentFaults() map[string]fault {
	violent := severities()
	violent["violence"] = object{"filtered": true, "severity": "medium"}
	failed := object{"error": object{"code": "content_filter_error", "message": "The contents are not filtered"}}
	return map[string]fault{
		"echo": {"answer with the argument, or else with the last user message", func(c *call, s *Step, argument string, _ bool) {
			s.Content = argument
			if argument == "" && c.chat != nil {
				s.Content = c.chat.lastUser()
			}
		}},
		"output-filter": {"200, finish_reason content_filter, half of the text", func(c *call, s *Step, _ string, _ bool) {
			s.FinishReason, s.shape.filter = "content_filter", violent
			s.Content = "This answer was going to be"
		}},
		"filter-failed":      {"the output filter failed: error in the results", with(func(s *Step) { s.shape.filter = failed })},
		"filter-empty":       {"empty results of the output filter", with(func(s *Step) { s.shape.filter = object{} })},
		"async-filter":       {"the asynchronous filter: annotations without delta, also behind the finish", with(func(s *Step) { s.shape.async = true })},
		"prompt-annotations": {"the old name prompt_annotations", with(func(s *Step) { s.shape.rename = map[string]string{"prompt_filter_results": "prompt_annotations"} })},
		"refusal":            {"a refusal in place of content", with(func(s *Step) { s.shape.refusal, s.Content = true, "I cannot help with that." })},
		"length":             {"finish_reason length", with(func(s *Step) { s.FinishReason = "length" })},
		"bad-arguments":      {"tool calls whose arguments are no JSON", with(func(s *Step) { s.shape.badCall = true })},
		"no-usage":           {"no usage, asked or not", with(func(s *Step) { s.shape.noUsage = true })},
		"obfuscation":        {"padding in each chunk", with(func(s *Step) { s.shape.extra = object{"obfuscation": "a1b2c3d4"} })},
		"error-null":         {`"error":null in each chunk and body`, with(func(s *Step) { s.shape.extra = object{"error": nil} })},
		"huge-chunk":         {"1 MiB of text in one event", with(func(s *Step) { s.Content, s.shape.whole = strings.Repeat("0123456789abcdef", 1<<16), true })},
		"infinite":           {"an answer that never ends", with(func(s *Step) { s.shape.endless, s.Gap = true, 50*time.Millisecond })},
	}
}

// cutFaults break an answer off.
func cutFaults() map[string]fault {
	failure := modelError(http.StatusInternalServerError, "The server had an error while processing your request.", "server_error", "", "")
	typed := func(event string, step *Step, form errorForm) applier {
		return func(c *call, s *Step, _ string, _ bool) {
			s.Inject, s.InjectAt, s.CutEvents, s.OfContent = event, 1, 1, true
			if c.route.typed {
				s.shape.inject = func(sequence int) string { return typedError(step, form, sequence) }
			}
		}
	}
	late := func(event string) applier { return typed(event, failure, errorNested) }
	at := func(change func(*Step)) applier {
		return with(func(s *Step) {
			s.CutEvents, s.OfContent = 1, true
			change(s)
		})
	}
	errorEvent := "data: " + failure.Body + "\n\n"
	return map[string]fault{
		"cut-stream":     {"a stream that ends cleanly before its finish", at(func(*Step) {})},
		"cut-first":      {"a stream that ends cleanly after its first event", with(func(s *Step) { s.CutEvents = 1 })},
		"reset-stream":   {"a connection reset in the middle of an event", at(func(s *Step) { s.CutMid, s.Reset = true, true })},
		"reset-between":  {"a connection reset between two events", at(func(s *Step) { s.Reset = true })},
		"reset-first":    {"a connection reset before a byte", with(func(s *Step) { s.CloseAfterRead, s.Reset = true, true })},
		"no-done":        {"a stream without [DONE]", with(func(s *Step) { s.NoDone = true })},
		"no-finish":      {"[DONE] without a finish_reason", with(func(s *Step) { s.shape.hidden = []string{kindFinish} })},
		"error-late":     {"an error event after content, then the end", late(errorEvent)},
		"error-event":    {"the same with event: error", late("event: error\n" + errorEvent)},
		"error-done":     {"the same with [DONE] behind it", late(errorEvent + "data: [DONE]\n\n")},
		"error-last-key": {"an error event whose error is not the first key", late(`data: {"choices":[],"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}` + "\n\n")},
		"unicode-late":   {"invalid Unicode after content", typed("data: "+unicodeError().Body+"\n\n", unicodeError(), errorNested)},
		"error-flat":     {"error-event with the fields of the Responses API's specification", typed("event: error\n"+errorEvent, failure, errorFlat)},
		"error-both":     {"error-event with both shapes of the Responses API", typed("event: error\n"+errorEvent, failure, errorBoth)},
		"response-failed": {"a response that fails after its first content; elsewhere error-late", func(c *call, s *Step, argument string, counted bool) {
			if s.shape.failed = c.route.typed; !s.shape.failed {
				late(errorEvent)(c, s, argument, counted)
			}
		}},
		"truncated-json":   {"a body shorter than its Content-Length", with(func(s *Step) { s.CutBytes, s.shape.plain = 100, true })},
		"short-json":       {"half a JSON body of the right length", always(&Step{Status: http.StatusOK, Body: `{"choices":[{"index":0,"message":{"role":"assist`})},
		"unfinished-json":  {"half a JSON body, then silence", with(func(s *Step) { s.shape.unfinish, s.shape.plain = true, true })},
		"endless-json":     {"JSON after JSON without end", with(func(s *Step) { s.shape.endless, s.shape.plain, s.Gap = true, true, 50*time.Millisecond })},
		"close-after-read": {"the connection is closed once the request is read", with(func(s *Step) { s.CloseAfterRead = true })},
		"hang":             {"no answer at all", with(func(s *Step) { s.Hang = true })},
	}
}

// framingFaults are oddities of an event stream.
func framingFaults() map[string]fault {
	inject := func(text string) applier {
		return with(func(s *Step) { s.Inject, s.InjectAt, s.OfContent = text, 1, true })
	}
	return map[string]fault{
		"id-lines":    {"id: lines", with(func(s *Step) { s.shape.preface = "id: 7\n" })},
		"retry-lines": {"retry: lines of their own", inject("retry: 1000\n\n")},
		"comments":    {"a comment between events", inject(": keep-alive\n\n")},
		"empty-data":  {"an event with empty data", inject("data:\n\n")},
		"garbage":     {"an event that is no JSON", inject("data: {not json\n\n")},
		"crlf":        {"lines end in CRLF", with(func(s *Step) { s.shape.crlf = true })},
		"no-space":    {"no space behind data:", with(func(s *Step) { s.shape.noSpace = true })},
		"done-space":  {"[DONE] with a space behind it", with(func(s *Step) { s.shape.done = "[DONE] " })},
		"split":       {"lines and characters split over writes of 3 bytes", with(func(s *Step) { s.Split, s.Content = 3, "naïve — 日本語 🙂 done" })},
		"silence": {"silence after the first content; its length as argument, else 30 s", waiting(30*time.Second, func(s *Step, d time.Duration) {
			s.Pause, s.PauseAt, s.OfContent = d, 1, true
		})},
		"late-end": {"the body ends half a second behind [DONE]", with(func(s *Step) { s.shape.linger = 500 * time.Millisecond })},
	}
}

// transportFaults are oddities of HTTP.
func transportFaults() map[string]fault {
	return map[string]fault{
		"slow":            {"a slow first byte; its wait as argument, else 2 s, then 200 ms a chunk", waiting(2*time.Second, func(s *Step, d time.Duration) { s.Delay, s.Gap = s.Delay+d, 200*time.Millisecond })},
		"json-for-stream": {"a JSON body to a stream request", with(func(s *Step) { s.shape.plain = true })},
		"html-for-stream": {"200 with HTML", always(&Step{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html><body>Sign in</body></html>"})},
		"empty-200":       {"200 without a body", always(&Step{Status: http.StatusOK})},
		"charset": {"a content type with a charset", func(c *call, s *Step, _ string, _ bool) {
			s.shape.mime = "application/json; charset=utf-8"
			if c.streams() {
				s.shape.mime = "text/event-stream; charset=utf-8"
			}
		}},
		"gzip":      {"a compressed answer, asked or not", with(func(s *Step) { s.Gzip = true })},
		"gzip-bomb": {"16 MiB of text compressed", with(func(s *Step) { s.Gzip, s.Content, s.shape.whole = true, strings.Repeat("0", 16<<20), true })},
		"huge-headers": {"256 KiB of headers", with(func(s *Step) {
			s.Header = http.Header{"X-Azuresim-Padding": {strings.Repeat("x", 256<<10)}}
		})},
		"redirect": {"307 to another host", always(&Step{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://redirected.example.com/"}}})},
	}
}
