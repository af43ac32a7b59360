package tokens

// The sources of the table's rows.
const (
	azureModels    = "Azure OpenAI models page"
	azureReasoning = "Azure OpenAI models and reasoning pages"
	azureRetired   = "Azure OpenAI models page, before retirement"
	modelCatalog   = "OpenAI model metadata"
	published      = "2026-07"
)

// Models returns the table of models, one row a family.
func Models() []Model {
	var all []Model
	for _, rows := range [][]Model{gpt5(), gpt4(), oSeries(), older(), others(), embeddings()} {
		for _, m := range rows {
			m.Known = true
			all = append(all, m)
		}
	}
	return all
}

// limits returns m with its limits.
func (m Model) limits(window, input, output int) Model {
	m.ContextWindow, m.MaxInput, m.MaxOutput = window, input, output
	return m
}

// from returns m with its source.
func (m Model) from(source, date string) Model {
	m.Source, m.Date = source, date
	return m
}

// responses returns m as one that only the Responses API serves.
func (m Model) responses() Model {
	m.ResponsesOnly = true
	return m
}

// thinker returns a reasoning model. Its format has one token less than the
// formula that everybody copies, by every pair of request and usage known.
func thinker(prefix string, image ImageRule) Model {
	return Model{Prefix: prefix, Encoding: O200K, Overhead: chat(2), Image: image, Reasoning: true, FixedTemperature: true}
}

// talker returns a model that does not reason.
func talker(prefix, encoding string, image ImageRule) Model {
	return Model{Prefix: prefix, Encoding: encoding, Overhead: chat(3), Image: image}
}

func gpt5() []Model {
	tile, newer := tiles(70, 140), patches(1200, 2500, 10_000)
	rows := []Model{
		talker("gpt-5-chat", O200K, tile).limits(128_000, 111_616, 16_384).from(azureModels, published),
		thinker("gpt-5", tile).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5-mini", small(1200)).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5-nano", small(1500)).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5-codex", tile).limits(400_000, 272_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5-pro", tile).limits(400_000, 272_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5.1", tile).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.1-codex", tile).limits(400_000, 272_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5.1-chat", tile).limits(128_000, 111_616, 16_384).from(azureModels, published),
		thinker("gpt-5.2", newer).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.2-codex", newer).limits(400_000, 272_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5.2-chat", newer).limits(128_000, 111_616, 16_384).from(azureModels, published),
		thinker("gpt-5.3-codex", newer).limits(400_000, 272_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5.3-chat", newer).limits(128_000, 111_616, 16_384).from(azureModels, published),
		thinker("gpt-5.4", newer).limits(1_050_000, 922_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.4-mini", small(1200)).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.4-nano", small(1200)).limits(400_000, 272_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.4-pro", newer).limits(1_050_000, 922_000, 128_000).responses().from(azureReasoning, published),
		thinker("gpt-5.5", newer).limits(1_050_000, 922_000, 128_000).from(azureReasoning, published),
		thinker("gpt-5.6", newer).limits(1_050_000, 922_000, 128_000).from(modelCatalog, "2026-08"),
		thinker("gpt-5.6-cyber", newer).limits(400_000, 272_000, 128_000).from(modelCatalog, "2026-08"),
		thinker("gpt-chat-latest", newer).limits(128_000, 111_616, 16_384).from(azureModels, published),
	}
	// Versions to come: the rule of gpt-5, the dearest pictures, the least room.
	return append(rows, thinker("gpt-5.", newer).limits(400_000, 272_000, 128_000).from("the rule of gpt-5", published))
}

func gpt4() []Model {
	tile := tiles(85, 170)
	return []Model{
		talker("gpt-4.1", O200K, tile).limits(1_047_576, 0, 32_768).from(azureModels, published),
		talker("gpt-4.1-mini", O200K, small(1620)).limits(1_047_576, 0, 32_768).from(azureModels, published),
		talker("gpt-4.1-nano", O200K, small(2460)).limits(1_047_576, 0, 32_768).from(azureModels, published),
		talker("gpt-4.5", O200K, tile).limits(128_000, 0, 16_384).from(azureRetired, "2025-07"),
		talker("gpt-4o", O200K, tile).limits(128_000, 0, 16_384).from(azureModels, published),
		talker("gpt-4o-2024-05-13", O200K, tile).limits(128_000, 0, 4_096).from(azureModels, published),
		talker("gpt-4o-mini", O200K, tiles(2833, 5667)).limits(128_000, 0, 16_384).from(azureModels, published),
		talker("chatgpt-4o", O200K, tile).limits(128_000, 0, 16_384).from(modelCatalog, "2026-08"),
		talker("gpt-audio", O200K, tile).limits(128_000, 0, 16_384).from(azureModels, published),
	}
}

func oSeries() []Model {
	tile := tiles(75, 150)
	o1 := thinker("o1", tile).limits(0, 200_000, 100_000).from(azureReasoning, published)
	o1.Overhead = chat(3)
	return []Model{
		o1,
		thinker("o1-mini", tile).limits(128_000, 0, 65_536).from(modelCatalog, "2026-08"),
		thinker("o1-preview", tile).limits(128_000, 0, 32_768).from(modelCatalog, "2026-08"),
		thinker("o3", tile).limits(0, 200_000, 100_000).from(azureReasoning, published),
		thinker("o3-mini", tile).limits(0, 200_000, 100_000).from(azureReasoning, published),
		thinker("o3-pro", tile).limits(0, 200_000, 100_000).responses().from(azureReasoning, published),
		thinker("o4-mini", small(1720)).limits(0, 200_000, 100_000).from(azureReasoning, published),
		thinker("codex-mini", small(1720)).limits(0, 200_000, 100_000).responses().from(azureReasoning, published),
	}
}

func older() []Model {
	tile := tiles(85, 170)
	first := talker("gpt-3.5-turbo-0301", CL100K, tile).limits(4_096, 0, 4_096).from(azureRetired, "2024-06")
	first.Overhead = Overhead{PerMessage: 4, PerName: -1, Priming: 3}
	return []Model{
		first,
		talker("gpt-3.5", CL100K, tile).limits(16_385, 0, 4_096).from(modelCatalog, "2026-08"),
		talker("gpt-3.5-turbo", CL100K, tile).limits(16_385, 0, 4_096).from(azureRetired, "2025-12"),
		talker("gpt-3.5-turbo-0613", CL100K, tile).limits(4_096, 0, 4_096).from(azureRetired, "2024-06"),
		talker("gpt-3.5-turbo-16k", CL100K, tile).limits(16_384, 0, 16_384).from(azureRetired, "2025-12"),
		talker("gpt-3.5-turbo-instruct", CL100K, tile).limits(4_097, 0, 4_097).from(azureRetired, "2025-12"),
		talker("gpt-4", CL100K, tile).limits(8_192, 0, 8_192).from(azureRetired, "2025-12"),
		talker("gpt-4-32k", CL100K, tile).limits(32_768, 0, 8_192).from(azureRetired, "2025-12"),
		talker("gpt-4-turbo", CL100K, tile).limits(128_000, 0, 4_096).from(azureRetired, "2025-12"),
		talker("gpt-4-turbo-2024-04-09", CL100K, tile).limits(128_000, 0, 4_096).from(azureRetired, "2025-12"),
		talker("gpt-4-vision", CL100K, tile).limits(128_000, 0, 4_096).from(azureRetired, "2025-12"),
		talker("gpt-4-1106", CL100K, tile).limits(128_000, 0, 4_096).from(azureRetired, "2025-12"),
		talker("gpt-4-0125", CL100K, tile).limits(128_000, 0, 4_096).from(azureRetired, "2025-12"),
	}
}

func others() []Model {
	newer := patches(1200, 2500, 10_000)
	oss := thinker("gpt-oss", newer).limits(131_072, 0, 131_072).from(azureModels, published)
	oss.Encoding, oss.FixedTemperature = Harmony, false
	router := talker("model-router", O200K, newer).from(azureModels, published)
	computer := talker("computer-use-preview", O200K, tiles(65, 129)).limits(8_192, 0, 1_024).responses()
	return []Model{
		oss, router, computer.from(azureModels, published),
		talker("chat-latest", O200K, newer).limits(400_000, 0, 128_000).from(modelCatalog, "2026-08"),
		thinker("daybreak-blue", newer).limits(1_050_000, 0, 128_000).from(modelCatalog, "2026-08"),
		thinker("daybreak-red", newer).limits(400_000, 0, 128_000).from(modelCatalog, "2026-08"),
	}
}

func embeddings() []Model {
	rows := []Model{
		talker("text-embedding-3-large", CL100K, ImageRule{}).limits(8_192, 8_192, 0).from(azureModels, published),
		talker("text-embedding-3-small", CL100K, ImageRule{}).limits(8_192, 8_192, 0).from(azureModels, published),
		talker("text-embedding-ada-002", CL100K, ImageRule{}).limits(8_192, 8_192, 0).from(azureModels, published),
	}
	for i := range rows {
		rows[i].Embedding, rows[i].Overhead = true, Overhead{}
	}
	return rows
}
