-- Asks Claviger whether a visitor's request may pass. haproxy.cfg sets the two variables, the secret only if there is one.
-- The action `lua.claviger` takes the requirements, such as `permission=files:read`. It sets `txn.claviger_allowed` only after
-- Claviger has answered 200, and answers all other requests itself.

local path = os.getenv("FORWARD_AUTH_PATH")
local secret = os.getenv("FORWARD_AUTH_SECRET")

-- In milliseconds. More than the timeouts of `listen claviger` together, because the client repeats a request after it.
local TIMEOUT = 10000

-- What Claviger answers about a valid key, for the API.
local IDENTITY = {
    "claviger-key-id", "claviger-key-name", "claviger-org-id", "claviger-org-external-id", "claviger-user-id",
    "claviger-external-id", "claviger-permissions", "claviger-permissions-truncated",
}

-- What of a refusal reaches the visitor.
local REFUSAL = {
    "content-type", "cache-control", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy", "claviger-deny-reason",
}

-- All values of a header of the visitor, or nothing.
local function values(headers, name)
    local found = {}
    for _, value in pairs(headers[name] or {}) do
        table.insert(found, value)
    end
    return #found > 0 and found or nil
end

local function first(headers, name)
    return headers and headers[name] and headers[name][0]
end

local function refuse(txn, status, body)
    local reply = txn:reply({ status = status })
    reply:add_header("content-type", "application/json")
    reply:add_header("cache-control", "no-store")
    if status == 503 then
        reply:add_header("retry-after", "1")
        reply:add_header("claviger-deny-reason", "unavailable")
    end
    reply:set_body(body)
    txn:done(reply)
end

local function check(txn, requirements)
    local visitor = txn.http:req_get_headers()
    local response = core.httpclient():get({
        url = "http://claviger" .. path .. "?" .. requirements .. "&method_header=X-Forwarded-Method&allow_anonymous_options=true",
        dst = "abns@claviger",
        timeout = TIMEOUT,
        headers = {
            ["claviger-gateway"] = secret and { "secret=" .. secret },
            ["x-forwarded-for"] = { txn.f:src() },
            ["x-forwarded-method"] = { txn.f:method() },
            ["authorization"] = values(visitor, "authorization"),
            ["x-api-key"] = values(visitor, "x-api-key"),
        },
    })
    if response.status == 200 then
        for _, name in ipairs(IDENTITY) do
            local value = first(response.headers, name)
            if value then
                txn.http:req_set_header(name, value)
            end
        end
        -- HAProxy does not say that there was no room for a header.
        local set = txn.http:req_get_headers()
        for _, name in ipairs(IDENTITY) do
            if first(response.headers, name) ~= first(set, name) then
                return refuse(txn, 431, '{"message": "The headers of the request are too large."}')
            end
        end
        for _, name in ipairs({ "ratelimit", "ratelimit-policy" }) do
            local value = first(response.headers, name)
            if value then
                txn:set_var("txn.claviger_" .. name:gsub("-", "_"), value)
            end
        end
        txn:set_var("txn.claviger_allowed", true)
        return
    end
    -- Without this header the answer is not Claviger's.
    if not first(response.headers, "claviger-deny-reason") then
        return refuse(txn, 503, '{"message": "API keys cannot be checked at the moment. Try again.", "reason": "unavailable"}')
    end
    local reply = txn:reply({ status = response.status })
    for _, name in ipairs(REFUSAL) do
        for _, value in pairs(response.headers[name] or {}) do
            reply:add_header(name, value)
        end
    end
    reply:set_body(response.body or "")
    txn:done(reply)
end

core.register_action("claviger", { "http-req" }, check, 1)
