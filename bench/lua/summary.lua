-- What every script ends with: one line of JSON. Scripts that count in a thread name their
-- counters in `counted` as globals of that thread.

local threads = {}
counted = counted or {}

function setup(thread)
  table.insert(threads, thread)
end

local function number(name)
  return threads[1]:get(name) or 0
end

local function histogram()
  local parts = {}
  for _, status in ipairs({ 200, 202, 204, 304, 400, 401, 403, 404, 413, 422, 429, 500, 503, 507 }) do
    local times = number("status_" .. status)
    if times > 0 then
      table.insert(parts, string.format('"%d":%d', status, times))
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function done(summary, latency, _)
  local requests, seconds = summary.requests, summary.duration / 1e6
  if number("walked") > 0 then
    requests, seconds = number("walked"), number("walk_seconds")
  end
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,'
      .. '"refused":%d,"broken":%d,"misses":%d,"statuses":%s}',
    requests, seconds, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, e.status,
    e.connect + e.read + e.write + e.timeout, number("misses"), histogram()))
end

-- count(status): for response() of scripts that want to know which statuses came.
function count(status)
  local name = "status_" .. status
  _G[name] = (_G[name] or 0) + 1
end
