package azuresim

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strconv"
	"strings"
)

// What an image costs as input and as output.
const (
	imageInput  = 85
	imageOutput = 272
)

// readImages decodes a generation; its prompt is a message.
func (c *call) readImages() *Step {
	q := &chatRequest{n: 1, plain: true, mute: true}
	var prompt string
	if refused := c.readFields(q, map[string]any{"prompt": &prompt, "n": &q.n, "stream": &q.stream}); refused != nil {
		return refused
	}
	if prompt != "" {
		q.messages = []message{{Role: "user", text: prompt}}
	}
	c.chat = q
	return nil
}

// readImageEdit decodes an edit, which is a form with one image or several.
func (c *call) readImageEdit() *Step {
	if refused := c.checkForm(); refused != nil {
		return refused
	}
	q := c.formChat("prompt")
	if _, ok := c.form.part("image"); !ok {
		return invalid("Missing required parameter: 'image'.", "image", "missing_required_parameter")
	}
	q.tokens = imageInput * c.form.count("image")
	c.chat = q
	return nil
}

// formChat takes the values of a form for the fields of a request, and the one
// called prompt for its message.
func (c *call) formChat(prompt string) *chatRequest {
	q := &chatRequest{n: 1, plain: true, mute: true, fields: map[string]json.RawMessage{}}
	for _, p := range c.form.parts {
		if p.Filename != "" {
			continue
		}
		text := string(p.Value)
		q.fields[p.Name] = json.RawMessage(encode(text))
		if json.Valid(p.Value) {
			q.fields[p.Name] = p.Value
		}
	}
	q.n = int(q.float("n", 1))
	q.stream = string(q.fields["stream"]) == "true"
	if text := c.form.value(prompt); text != "" {
		q.messages = []message{{Role: "user", text: text}}
	}
	return q
}

func (c *call) checkImages() *Step {
	q := c.chat
	switch {
	case len(q.messages) == 0:
		return invalid("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
	case q.n < 1:
		return outOfRange("n", "integer below minimum value", ">= 1", float64(q.n))
	case q.n > 10:
		return outOfRange("n", "integer above maximum value", "<= 10", float64(q.n))
	case c.dallE() && q.stream:
		return unknownArgument("stream")
	case !c.dallE() && q.has("response_format"):
		return invalid("Unknown parameter: 'response_format'.", "response_format", "unknown_parameter")
	}
	return q.checkInputTexts()
}

// dallE reports whether the model is of the older kind, which has URLs, filter
// results for each image, and no usage.
func (c *call) dallE() bool { return strings.HasPrefix(strings.ToLower(c.dep.Model), "dall") }

func (c *call) composeImages() (*Step, []event) {
	if c.wantsStream() {
		return nil, c.imageEvents()
	}
	data := make([]any, c.chat.n)
	for i := range data {
		data[i] = c.image(i)
	}
	o := object{"created": c.now.Unix(), "data": data}
	output := 0
	if !c.dallE() {
		output = imageOutput * c.chat.n
		o["background"], o["output_format"] = "opaque", cmp.Or(c.chat.text("output_format"), "png")
		o["size"], o["quality"] = cmp.Or(c.chat.text("size"), "1024x1024"), cmp.Or(c.chat.text("quality"), "high")
		if !c.step.shape.noUsage {
			o["usage"] = c.imageUsage(output)
		}
	}
	c.bill(output)
	return answer(http.StatusOK, c.adorn(o)), nil
}

// image is one item of the answer.
func (c *call) image(i int) object {
	prompt := c.chat.lastUser()
	drawn := picture(prompt + strconv.Itoa(i))
	if !c.dallE() {
		return object{"b64_json": drawn}
	}
	o := object{"revised_prompt": "A picture of: " + firstWords(prompt, 24)}
	if c.chat.text("response_format") == "b64_json" {
		o["b64_json"] = drawn
	} else {
		o["url"] = "https://images.example.com/" + strconv.Itoa(c.number) + "-" + strconv.Itoa(i) + ".png"
	}
	if c.azure() {
		o["content_filter_results"] = c.outputFilter()
		o["prompt_filter_results"] = severities()
	}
	return o
}

func (c *call) imageUsage(output int) object {
	images := c.chat.tokens
	text := c.chat.promptTokens() - images
	return object{
		"input_tokens": text + images, "output_tokens": output, "total_tokens": text + images + output,
		"input_tokens_details": object{"text_tokens": text, "image_tokens": images},
	}
}

// imageEvents sends the partial images asked for and then the whole one.
func (c *call) imageEvents() []event {
	var list []event
	operation := "image_generation"
	if c.form != nil {
		operation = "image_edit"
	}
	add := func(kind, name string, o object, bytes int) {
		o["type"], o["created_at"], o["b64_json"] = operation+"."+name, c.now.Unix(), picture(c.chat.lastUser()+"0")
		o["background"], o["output_format"] = "opaque", cmp.Or(c.chat.text("output_format"), "png")
		o["size"], o["quality"] = cmp.Or(c.chat.text("size"), "1024x1024"), cmp.Or(c.chat.text("quality"), "high")
		list = append(list, event{kind: kind, name: operation + "." + name, data: encode(c.adorn(o)), bytes: bytes})
	}
	for i := range min(3, int(c.chat.float("partial_images", 0))) {
		add(kindContent, "partial_image", object{"partial_image_index": i}, 0)
	}
	whole := object{}
	if !c.step.shape.noUsage {
		whole["usage"] = c.imageUsage(imageOutput)
	}
	add(kindFinish, "completed", whole, 4*imageOutput)
	return c.hide(list)
}

// picture is a PNG of one color, which text decides, in base64.
func picture(text string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	sum := h.Sum(nil)
	drawn := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		drawn.Set(i%8, i/8, color.RGBA{R: sum[0], G: sum[1], B: sum[2], A: 255})
	}
	var b bytes.Buffer
	_ = png.Encode(&b, drawn) // A buffer takes everything.
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
