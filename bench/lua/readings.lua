-- Single readings or batches of them, each one new: the sensor and the moment change.
-- Bodies come from templates whose moment is a mark, so that the generator costs little.
dofile(os.getenv("BENCH_LUA") .. "/summary.lua")

local templates, sent = {}, 0
local per_moment = tonumber(os.getenv("BENCH_PER_MOMENT"))
local begin_ms = tonumber(os.getenv("BENCH_BEGIN_MS"))
local is_json = os.getenv("BENCH_KIND") == "json"

wrk.method = "POST"
wrk.headers["Content-Type"] = is_json and "application/json" or "text/plain"
if os.getenv("BENCH_TOKEN") then
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
end

-- The pieces between the marks: joining them again is many times cheaper than replacing marks.
local function split(template)
  local pieces, from = {}, 1
  while true do
    local at = template:find("@@", from, true)
    if not at then
      table.insert(pieces, template:sub(from))
      return pieces
    end
    table.insert(pieces, template:sub(from, at - 1))
    from = at + 2
  end
end

function init(_)
  for line in io.lines(os.getenv("BENCH_TEMPLATES")) do
    table.insert(templates, split(line:gsub("\\n", "\n")))
  end
end

local function moment(ms)
  if not is_json then
    return string.format("%d000000", ms)
  end
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)) .. string.format(".%03dZ", ms % 1000)
end

-- The moment moves on by a millisecond when every sensor has had its turn.
function request()
  local template = templates[sent % #templates + 1]
  local ms = begin_ms + math.floor(sent / per_moment)
  sent = sent + 1
  return wrk.format(nil, nil, nil, table.concat(template, moment(ms)))
end

if os.getenv("BENCH_COUNT") then
  function response(status, _, _)
    count(status)
  end
end
